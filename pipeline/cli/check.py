"""`graft check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import Settings, counting


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
    from pipeline.config.configuration import load_config

    is_config = target.lower().endswith((".yaml", ".yml")) and Path(target).is_file()
    config = load_config(target if is_config else None, settings, data if is_config else target)
    place = workdir or (Path("work") / config.name if is_config else None)
    with counting("Checking") as report:
        checked = check_data(config.data, place / "data.sqlite" if place else None, report)
    if as_json:
        import json

        print(json.dumps(to_json(checked), indent=2, ensure_ascii=True))
    else:
        print_report(Console(highlight=False), checked)
    if strict:
        raise typer.Exit({"accepted": 0, "refused": 3, "unusable": 2}[checked.verdict])
