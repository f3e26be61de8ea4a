"""The console script's root: `graft` and its groups of commands; each command is in a module beside this one."""

from __future__ import annotations

from typing import Annotated

import typer

import pipeline

app = typer.Typer(
    name="graft",
    help="Transfer learning on images, from a folder to a pushed and evaluated model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def add_group(name: str, text: str) -> typer.Typer:
    """A group of commands, such as `graft models`."""
    group = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(group, name=name)
    return group


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
