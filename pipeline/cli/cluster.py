"""What `graft submit` and `graft schedule` share: options of the same meaning, and errors of a service."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.kubeflow.compile.checks import Target

if TYPE_CHECKING:
    from pipeline.kubeflow.kfp.connection import Server
    from pipeline.kubeflow.kfp.package import Package


@dataclass(frozen=True)
class Where:
    """Options that say where pipelines run."""

    host: Annotated[
        str | None, typer.Option(help="Address of Kubeflow. Default: $KF_PIPELINES_ENDPOINT.", metavar="URL")
    ] = None
    namespace: Annotated[
        str | None, typer.Option(envvar="GRAFT_NAMESPACE", help="Your profile's, on a multi-user Kubeflow.")
    ] = None
    token_file: Annotated[
        str | None, typer.Option(help="Holds a bearer token; or set GRAFT_KFP_TOKEN.", metavar="FILE")
    ] = None
    target: Annotated[Target, typer.Option(help="Open-source Kubeflow Pipelines, or Vertex AI.")] = Target.KFP
    project: Annotated[str | None, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="Vertex: the project.")] = None
    location: Annotated[
        str | None, typer.Option(envvar="GOOGLE_CLOUD_REGION", help="Vertex: the region, such as europe-west4.")
    ] = None

    def server(self) -> Server:
        """The Kubeflow server."""
        from pipeline.kubeflow.kfp.connection import connect

        return connect(self.host, self.namespace, self.token_file)

    def schedules(self) -> tuple[Any, Any]:
        """The module that knows the target's schedules, and the place to use it on."""
        if self.target is Target.VERTEX:
            from pipeline.kubeflow.vertex import jobs
            from pipeline.kubeflow.vertex import schedules as vertex_schedules

            return vertex_schedules, jobs.connect(self.project, self.location)
        from pipeline.kubeflow.kfp import schedules as kfp_schedules

        return kfp_schedules, self.server()


@dataclass(frozen=True)
class What:
    """Options that say what is to run."""

    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="YAML file with a `kubeflow:` section, or a compiled pipeline.")
    ]
    experiment: Annotated[str | None, typer.Option(help="Groups runs on the server. Default: the pipeline's name.")] = (
        None
    )
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A runtime parameter; may be repeated."),
    ] = None
    account: Annotated[
        str | None, typer.Option("--service-account", help="What the pods run as. Default: the server's.")
    ] = None
    data: Annotated[str | None, typer.Option(help="Where the data lies in a pod; wins over kubeflow.data_path.")] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one option; may be repeated.")
    ] = None

    @contextmanager
    def package(self, target: Target) -> Iterator[Package]:
        """The compiled pipeline: the file itself, or one that is compiled now and gone afterwards."""
        from pipeline.kubeflow.kfp.package import is_compiled, read_package

        if is_compiled(self.config):
            self._refuse_options()
            yield read_package(Path(self.config))
            return
        text = self._compile(target)
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(text, "utf-8")
            yield read_package(path)

    def _refuse_options(self) -> None:
        if self.settings or self.data:
            from components.errors import InputError

            raise InputError(
                f"{self.config} is compiled already: --set and --data come too late.\n"
                "Give the configuration instead, or a runtime parameter with --param."
            )

    def _compile(self, target: Target) -> str:
        from pipeline.config.configuration import load_config
        from pipeline.kubeflow.compile.checks import check_compilable
        from pipeline.process.progress import quiet_tensorflow

        given = [f"kubeflow.data_path={json.dumps(self.data)}"] if self.data else []
        checked = load_config(self.config, [*(self.settings or []), *given])
        check_compilable(checked, target)
        quiet_tensorflow()
        from pipeline.kubeflow.compile.compile import compile_config

        return compile_config(checked, target).to_yaml()


@contextmanager
def services_answer() -> Iterator[None]:
    """Prints what a service failed at and leaves with code 1; it has no log of a run to point at."""
    from pipeline.kubeflow.kfp.answers import ServiceError

    try:
        yield
    except ServiceError as error:
        print(f"Failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
