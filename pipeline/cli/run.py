"""`graft run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.common import CONTINUES, Preset, Quiet, Settings, examples, with_preset
from pipeline.process.signals import interruptible
from pipeline.process.typed import typed_command

if TYPE_CHECKING:
    from pipeline.first_run.start import Chosen


@app.command(
    epilog=examples(
        "graft run photos",
        "graft run photos --preset best --set trainer.epochs=5 --workdir work/second",
        "graft run configs/cats_and_dogs.yaml --data photos",
    )
)
def run(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG-or-DIR", help="YAML file; or the images, with defaults that suit this machine."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of images; wins over data.path.")] = None,
    workdir: Annotated[Path | None, typer.Option(help="Working directory. Default: work/<name>.")] = None,
    settings: Settings = None,
    preset: Preset = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Reuse what an earlier run made.")] = True,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="End at once (unchanged, code 0) where data and options are as served.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file, also those that look unchanged since the last run.")
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Search the head's hyper-parameters first, see tuner: in the configuration.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", metavar="GATE", help="Push although this gate says no: data, quality, servability."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; needed with --override, and kept in the passport.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the lines of the run's log, too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Runs the whole pipeline on this machine: ingest, train, evaluate, check, push.

    Images alone are enough: `graft init` writes down what is chosen for them.

    Where TF_CONFIG names several workers, start the same command on each: they train together, the chief does the rest.

    Exit code 0: pushed, or nothing to do. 2: bad usage, configuration or input. 3: a gate said no. 1: failed.
    """
    from pipeline.config.overrides import make_override
    from pipeline.first_run.load import choose_workdir, load_target

    overridden = make_override(override or [], reason)
    if verbose and quiet:
        raise InputError("--verbose, --quiet: expected one of them, got both.\nLeave one out.")
    changes = [*with_preset(preset, settings), *(["tuner.enabled=true"] if tune else [])]
    chosen = load_target(config, changes, data, may_fetch=True)  # first: its errors are instant
    place = workdir or choose_workdir(chosen, typed_command())
    if not quiet:
        _say(chosen)

    from pipeline.run.multi_worker import run_among_workers
    from pipeline.run.planning import Detail, RunOptions

    detail: Detail = "verbose" if verbose else "quiet" if quiet else "normal"
    options = RunOptions(cache, verify, if_changed, overridden, command=typed_command(), detail=detail)
    with interruptible(CONTINUES):
        code = run_among_workers(chosen.config, place, options)
    raise typer.Exit(code)


def _say(chosen: Chosen) -> None:
    """Says what was chosen without a configuration, and how it is written down; nothing where there is one."""
    from rich.console import Console
    from rich.markup import escape

    from pipeline.first_run.load import init_command

    console = Console(highlight=False)
    for number, line in enumerate(chosen.lines):
        console.print(f"{'  ' * bool(number)}{escape(line)}", soft_wrap=True)
        if not number:
            console.print(f"  keep it  {escape(init_command(chosen))} > config.yaml", soft_wrap=True)
