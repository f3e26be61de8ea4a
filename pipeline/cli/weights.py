"""`graft weights`: what a backbone starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import add_group
from pipeline.cli.common import Settings, examples

weights = add_group("weights", "The pretrained weights that a backbone starts from.")


@weights.command(
    "fetch",
    epilog=examples(
        "graft weights fetch --cache weights", "graft weights fetch configs/cats_and_dogs.yaml --cache weights"
    ),
)
def weights_fetch(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="YAML file. Without one: what `graft run DIR` starts from."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep them in this folder. Default: $GRAFT_WEIGHTS, or Keras' own cache.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Fetches the ImageNet weights of a configuration ahead of a run, and says how to pin them.

    For a machine without internet: fetch with --cache DIR, copy DIR there, and set GRAFT_WEIGHTS=DIR.
    """
    from pipeline.config.configuration import load_config
    from pipeline.first_run.target import is_config

    if config and is_config(config):
        checked = load_config(config, settings)  # first: its errors are instant
    else:
        from pipeline.first_run.start import first_start

        checked = load_config(None, settings, below=first_start())

    from pipeline.process.progress import quiet_tensorflow
    from pipeline.weights import fetch_weights, showing_progress

    quiet_tensorflow()
    with showing_progress():
        fetched = fetch_weights(checked, cache)
    print("\n".join(fetched.describe(cache)))
