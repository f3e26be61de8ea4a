"""`graft features`: the features that runs keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import add_group

kept_features = add_group("features", "The features that runs keep in a working directory.")


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
    from pipeline.run.prune import describe, parse_age, parse_size, prune_features

    age, size = parse_age(older_than) if older_than else None, parse_size(max_size) if max_size else None
    print(describe(prune_features(workdir, age, size, dry_run), dry_run))
