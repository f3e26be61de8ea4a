"""`graft check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.common import NoProgress, Settings, counting, examples


@app.command(epilog=examples("graft check photos", "graft check configs/cats_and_dogs.yaml --data photos --json"))
def check(
    target: Annotated[str, typer.Argument(metavar="CONFIG-or-DIR", help="YAML file, or the data itself.")],
    data: Annotated[str | None, typer.Option(help="Data path; wins over data.path of a configuration.")] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Of earlier runs: images keep their side. Default with CONFIG: work/<name>.")
    ] = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 3 (or 2) where a run would stop.")] = False,
    quiet: NoProgress = False,
) -> None:
    """Looks at the data as a run would: counts, quarantine, duplicates, leakage. Changes nothing.

    Exit code 0: the data was looked at, whatever was found. 2: there is nothing to look at.
    """
    from rich.console import Console

    from pipeline.check import as_json as to_json
    from pipeline.check import check_data, print_report
    from pipeline.config.configuration import load_config
    from pipeline.first_run.target import is_config

    given = is_config(target)
    if data is not None and not given:
        raise InputError(
            f"--data: the images are given already: {target}.\nGive a configuration there, or leave one out."
        )
    config = load_config(target if given else None, settings, data if given else target)
    place = workdir or (Path("work") / config.name if given else None)
    with counting("Checking", quiet) as report:
        checked = check_data(config.data, place / "data.sqlite" if place else None, report)
    if as_json:
        import json

        print(json.dumps(to_json(checked), indent=2, ensure_ascii=True))
    else:
        print_report(Console(highlight=False), checked)
    if strict:
        raise typer.Exit({"accepted": 0, "refused": 3, "unusable": 2}[checked.verdict])
