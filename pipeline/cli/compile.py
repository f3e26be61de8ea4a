"""`graft compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.cluster import DEFAULT, Target, compile_for, load_for_pods
from pipeline.cli.common import Settings
from pipeline.kubeflow.services import SERVICES


@app.command(
    "compile",
    epilog="Example: graft compile configs/kubeflow.yaml --target kfp --output pipeline.yaml",
)
def compile_command(
    config: Annotated[str, typer.Argument(help="YAML file with a `kubeflow:` section.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    target: Target = DEFAULT,
    data: Annotated[str | None, typer.Option(help="Where the data lies in a pod: kubeflow.data_path.")] = None,
    settings: Settings = None,
) -> None:
    """Compiles the pipeline for Kubeflow Pipelines v2. Needs no network, no credentials and no data.

    The same configuration and code give the same bytes. What a cluster would refuse is refused here.
    """
    checked = load_for_pods(config, data, settings)
    compiled = compile_for(checked, SERVICES[target])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(compiled.to_yaml(), "utf-8")
    tasks = compiled.spec["root"]["dag"]["tasks"]
    print(f"Compiled {checked.name} for {target}: {len(tasks)} tasks, {output}")
