"""The console script's root: `graft` and its groups of commands; each command is in a module beside this one."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import pipeline
from components.contract.secrets import refuse_in_arguments
from components.process import streams
from pipeline.cli.common import examples
from pipeline.process.troubles import find_trouble


class Root(TyperGroup):
    """The commands: nothing with a password gets in, and failures of the machine leave in words."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Takes what was typed.

        Raises:
            InputError: an address in it has a password.
        """
        if not ctx.resilient_parsing:  # a shell that asks for completions wants nothing else
            refuse_in_arguments(args)
        return super().parse_args(ctx, [_with_home(argument) for argument in args])

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Runs a command.

        Raises:
            Trouble: a disk is full, or the like.
        """
        streams.arrange()  # again, for a notebook's or a test's own streams
        try:
            return super().invoke(ctx)
        except Exception as error:
            if trouble := find_trouble(error):
                raise trouble from error
            raise


def _with_home(argument: str) -> str:
    """An argument with the user's home for `~`: shells leave it in quotes and behind `--data=`."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + equals + (value if os.path.lexists(value) else os.path.expanduser(value))


app = typer.Typer(
    cls=Root,
    name="graft",
    help="Transfer learning on images, from a folder to a pushed and evaluated model.",
    epilog=examples("graft run photos", "graft predict work/photos holiday.jpg", "graft serve work/photos"),
    no_args_is_help=True,
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
