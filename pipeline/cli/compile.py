"""`graft compile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import Settings
from pipeline.kubeflow.compile.checks import Target


@app.command(
    "compile",
    epilog="Example: graft compile configs/kubeflow.yaml --target kfp --output pipeline.yaml",
)
def compile_command(
    config: Annotated[str, typer.Argument(help="YAML file with a `kubeflow:` section.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    target: Annotated[Target, typer.Option(help="Open-source Kubeflow Pipelines, or Vertex AI.")] = Target.KFP,
    data: Annotated[str | None, typer.Option(help="Where the data lies in a pod: kubeflow.data_path.")] = None,
    settings: Settings = None,
) -> None:
    """Compiles the pipeline for Kubeflow Pipelines v2. Needs no network, no credentials and no data.

    The same configuration and code give the same bytes. What a cluster would refuse is refused here.
    """
    from pipeline.config.configuration import load_config

    given = [f"kubeflow.data_path={json.dumps(data)}"] if data else []
    checked = load_config(config, [*(settings or []), *given])  # first: its errors are instant

    from pipeline.kubeflow.compile.checks import check_compilable

    check_compilable(checked, target)

    from pipeline.process.progress import quiet_tensorflow

    quiet_tensorflow()
    from pipeline.kubeflow.compile.compile import compile_config

    compiled = compile_config(checked, target)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(compiled.to_yaml(), "utf-8")
    tasks = compiled.spec["root"]["dag"]["tasks"]
    print(f"Compiled {checked.name} for {target.value}: {len(tasks)} tasks, {output}")
