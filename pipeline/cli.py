"""The commands of `graft`, and what they print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.predict import Prediction

app = typer.Typer(
    name="graft",
    help="Transfer learning on images, from a folder to a pushed and evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="The versions in a serving directory.", no_args_is_help=True)
app.add_typer(models, name="models")
kept_features = typer.Typer(help="The features that runs keep in a working directory.", no_args_is_help=True)
app.add_typer(kept_features, name="features")
weights = typer.Typer(help="The pretrained weights that a backbone starts from.", no_args_is_help=True)
app.add_typer(weights, name="weights")

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one option; may be repeated.")
]


class Format(str, Enum):
    """How predictions are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"graft {pipeline.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Transfer learning on images, from a folder to a pushed and evaluated model."""


@app.command(epilog="Example: graft run configs/cats_and_dogs.yaml --data photos --set trainer.epochs=5")
def run(
    config: Annotated[str, typer.Argument(help="YAML file, such as configs/sample.yaml.")],
    data: Annotated[str | None, typer.Option(help="Folder of images; wins over data.path.")] = None,
    workdir: Annotated[Path | None, typer.Option(help="Working directory. Default: work/<name>.")] = None,
    settings: Settings = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Reuse what an earlier run made.")] = True,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="End at once (unchanged, code 0) where data and options are as served.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file, also those that look unchanged since the last run.")
    ] = False,
) -> None:
    """Runs the whole pipeline on this machine: ingest, train, evaluate, check, push.

    Exit code 0: pushed, or nothing to do. 2: bad usage, configuration or input. 3: a gate said no. 1: failed.
    """
    from pipeline.config import load_config

    checked = load_config(config, settings, data)  # first: its errors are instant

    from pipeline.run import Wishes, run_pipeline

    wishes = Wishes(enable_cache=cache, verify=verify, if_changed=if_changed)
    try:
        outcome = run_pipeline(checked, workdir or Path("work") / checked.name, wishes)
    except KeyboardInterrupt:  # Typer would say no more than "Aborted"
        print("Interrupted. The next run continues from what is complete.", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(outcome.code)


@app.command(epilog="Examples: graft check photos; graft check configs/cats_and_dogs.yaml --data photos --json")
def check(
    target: Annotated[str, typer.Argument(metavar="CONFIG-or-DIR", help="YAML file, or the data itself.")],
    data: Annotated[str | None, typer.Option(help="Data path; wins over data.path of a configuration.")] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Of earlier runs: images keep their side. Default with CONFIG: work/<name>.")
    ] = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 (or 2) where a run would stop.")] = False,
) -> None:
    """Looks at the data as a run would: counts, quarantine, duplicates, leakage. Changes nothing.

    Exit code 0: the data was looked at, whatever was found. 2: there is nothing to look at.
    """
    from rich.console import Console

    from pipeline.check import as_json as to_json
    from pipeline.check import check_data, print_report
    from pipeline.config import load_config

    is_config = target.lower().endswith((".yaml", ".yml")) and Path(target).is_file()
    config = load_config(target if is_config else None, settings, data if is_config else target)
    place = workdir or (Path("work") / config.name if is_config else None)
    with _counting("Checking") as report:
        checked = check_data(config.data, place / "data.sqlite" if place else None, report)
    if as_json:
        import json

        print(json.dumps(to_json(checked), indent=2, ensure_ascii=True))
    else:
        print_report(Console(highlight=False), checked)
    if strict:
        raise typer.Exit({"accepted": 0, "refused": 3, "unusable": 2}[checked.verdict])


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; gives a function that takes the number of files done and their total."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline.progress import native_stderr_hidden

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        native_stderr_hidden() as terminal,
        Progress(*columns, console=Console(file=terminal), transient=True, disable=not terminal.isatty()) as bar,
    ):
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@app.command(epilog="Example: graft predict work/sample/serving/1764000000 a.jpg folder/ --format csv")
def predict(
    model: Annotated[str, typer.Argument(help="serving/<version>, or a working directory: its served version.")],
    images: Annotated[list[str], typer.Argument(help="Image files and folders.", metavar="IMAGE...")],
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Answers with label and probabilities for image files and folders.

    A file that is no image gets an error line of its own; the others still get answers, and the exit code is 2.
    """
    from pipeline.predict import list_inputs, predict_files
    from pipeline.progress import quiet_tensorflow

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names that are not UTF-8
    paths = list_inputs(images)
    quiet_tensorflow()
    failed = _PRINTERS[form](_with_progress(predict_files(model, paths), len(paths)))
    if failed:
        print(f"Error: {failed} of {len(paths)} files got no answer.", file=sys.stderr)
        raise typer.Exit(2)


def _with_progress(predictions: Iterable[Prediction], total: int) -> Iterable[Prediction]:
    with _counting("Predicting") as report:
        for done, prediction in enumerate(predictions, start=1):
            yield prediction
            report(done, total)


def _print_table(predictions: Iterable[Prediction]) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("image", "label", "probability", "others"):
        table.add_column(name, justify="right" if name == "probability" else "left", overflow="fold")
    rows = list(predictions)
    for row in rows:
        if row.error:
            table.add_row(escape(row.path), "[red]error[/]", "", f"[red]{escape(row.error)}[/]")
            continue
        ranked = sorted(row.probabilities.items(), key=lambda pair: -pair[1])
        others = ", ".join(f"{name} {value:.4f}" for name, value in ranked[1:4])
        table.add_row(escape(row.path), escape(row.label), f"{row.probability:.4f}", escape(others))
    Console(highlight=False).print(table)
    return sum(bool(row.error) for row in rows)


def _print_json(predictions: Iterable[Prediction]) -> int:
    import json

    rows = list(predictions)
    answers = [
        {"path": row.path, "error": row.error}
        if row.error
        else {"path": row.path, "label": row.label, "probability": row.probability, "probabilities": row.probabilities}
        for row in rows
    ]
    print(json.dumps(answers, indent=2, ensure_ascii=False))
    return sum(bool(row.error) for row in rows)


def _print_csv(predictions: Iterable[Prediction]) -> int:
    import csv

    rows = list(predictions)
    names = sorted({name for row in rows for name in row.probabilities})
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "label", "probability", *names, "error"])
    for row in rows:
        values = [f"{row.probabilities[name]:.6f}" if row.probabilities else "" for name in names]
        writer.writerow([row.path, row.label, f"{row.probability:.6f}" if row.label else "", *values, row.error])
    return sum(bool(row.error) for row in rows)


_PRINTERS = {Format.TABLE: _print_table, Format.JSON: _print_json, Format.CSV: _print_csv}


@models.command("list", epilog="Example: graft models list work/sample")
def models_list(
    folder: Annotated[str, typer.Argument(help="Working directory, or serving directory.")],
) -> None:
    """Lists the versions: when each was made, from what, and which is being served."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.models import list_models

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("version", "created (UTC)", "classes", "data", "weights", "parent", ""):
        table.add_column(name)
    for row in list_models(folder):
        facts = row.passport.get("model", {})
        table.add_row(
            str(row.number),
            row.passport.get("created", "?").rstrip("Z").replace("T", " "),
            str(len(facts.get("classes", [])) or "?"),
            row.passport.get("data_fingerprint", "?")[:12],
            facts.get("weights_sha256", "?")[:12],
            str(row.passport.get("parent") or "-"),
            "[green]serving[/]" if row.serving else "",
        )
    Console(highlight=False).print(table)


@weights.command("fetch", epilog="Example: graft weights fetch configs/cats_and_dogs.yaml --cache weights")
def weights_fetch(
    config: Annotated[str, typer.Argument(help="YAML file, such as configs/sample.yaml.")],
    cache: Annotated[
        Path | None, typer.Option(help="Keep them in this folder. Default: $GRAFT_WEIGHTS, or Keras' own cache.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Fetches the ImageNet weights of a configuration ahead of a run, and says how to pin them.

    For a machine without internet: fetch with --cache DIR, copy DIR there, and set GRAFT_WEIGHTS=DIR.
    """
    from pipeline.config import load_config

    checked = load_config(config, settings)  # first: its errors are instant

    from pipeline.progress import quiet_tensorflow
    from pipeline.weights import fetch_weights, showing_progress

    quiet_tensorflow()
    with showing_progress():
        fetched = fetch_weights(checked, cache)
    print("\n".join(fetched.describe(cache)))


@kept_features.command(
    "prune", epilog="Example: graft features prune work/cats-and-dogs --older-than 30d --max-size 5GB"
)
def features_prune(
    workdir: Annotated[Path, typer.Argument(help="Working directory.")],
    older_than: Annotated[
        str | None, typer.Option(help="Remove what no run used for so long: 30d, 12h.", metavar="AGE")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Remove the least recently used until so much is left: 5GB.", metavar="SIZE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")] = False,
) -> None:
    """Makes room in the feature store. What is removed is computed again where a run needs it."""
    from pipeline.prune import describe, parse_age, parse_size, prune_features

    age, size = parse_age(older_than) if older_than else None, parse_size(max_size) if max_size else None
    print(describe(prune_features(workdir, age, size, dry_run), dry_run))
