"""`graft models`: the serving directory."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import add_group

models = add_group("models", "The versions in a serving directory.")


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
