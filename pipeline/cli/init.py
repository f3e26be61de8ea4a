"""`graft init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.common import Preset, Settings, examples, with_preset


@app.command(epilog=examples("graft init photos > config.yaml", "graft init photos --output pets.yaml --set name=pets"))
def init(
    data: Annotated[str, typer.Argument(metavar="DIR", help="The images: folder, table, archive, TFRecords.")],
    output: Annotated[Path | None, typer.Option(help="Write to this new file instead of the terminal.")] = None,
    settings: Settings = None,
    preset: Preset = None,
) -> None:
    """Writes the configuration that `graft run DIR` would use, with every option and what it means.

    The two are equal: options that are the defaults stand in it as comments.
    """
    from pipeline.first_run.load import describe_images, load_images
    from pipeline.first_run.written import write_config

    if output is not None and output.exists():
        raise InputError(
            f"--output: expected a new file, got {output}, which is there.\nTake another name, or remove it."
        )
    chosen = load_images(data, with_preset(preset, settings))
    text = write_config(chosen.config, describe_images(chosen))
    if output is None:
        sys.stdout.write(text)
        return

    from components.files.paths import write_atomically

    try:
        write_atomically(str(output), text)
    except OSError as error:
        raise InputError(
            f"--output: cannot write {output}: {error.strerror}.\nGive a file that you may write."
        ) from error
    import shlex

    from pipeline.process.typed import program

    print(f"{output}: {chosen.lines[0]}\n  next     {program()} run {shlex.quote(str(output))}")
