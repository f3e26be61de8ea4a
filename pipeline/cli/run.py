"""`graft run`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import CONTINUES, Settings
from pipeline.process.signals import interruptible


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
) -> None:
    """Runs the whole pipeline on this machine: ingest, train, evaluate, check, push.

    Where TF_CONFIG names several workers, start the same command on each: they train together, the chief does the rest.

    Exit code 0: pushed, or nothing to do. 2: bad usage, configuration or input. 3: a gate said no. 1: failed.
    """
    from pipeline.config.configuration import load_config
    from pipeline.config.overrides import make_override

    overridden = make_override(override or [], reason)
    changes = [*(settings or []), *(["tuner.enabled=true"] if tune else [])]
    checked = load_config(config, changes, data)  # first: its errors are instant

    from pipeline.run.multi_worker import run_among_workers
    from pipeline.run.planning import RunOptions

    typed = shlex.join(["graft", *sys.argv[1:]])
    options = RunOptions(cache, verify, if_changed, overridden, command=typed)
    with interruptible(CONTINUES):
        code = run_among_workers(checked, workdir or Path("work") / checked.name, options)
    raise typer.Exit(code)
