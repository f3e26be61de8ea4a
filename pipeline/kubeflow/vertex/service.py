"""Vertex AI: a row of `services.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pipeline.config.configuration import Config
from pipeline.config.kubeflow import GPU_TYPE, KubeflowOptions, Resources
from pipeline.kubeflow.service import Connection

NAME = "vertex"
TITLE = "Vertex AI"
ROOT_SCHEMES = ("gs",)
POD_PATHS = "/gcs/BUCKET/..."
RETRY_WINDOW = 3600  # the longest pause between two attempts, of an hour at most
HOLDS_DATABASES = False  # buckets are mounted below /gcs: SQLite needs locks, which they do not have
DRIVER = "vertex"

INSTEAD = {
    "volumes": "put the data into a bucket and use /gcs/BUCKET/...",
    "secrets": "give the rights to the service account that the job runs as",
    "node_selector": "Vertex picks the machine by cpu, memory and gpu_type",
    "tolerations": "Vertex picks the machine by cpu, memory and gpu_type",
}


@dataclass(frozen=True)
class Address:
    """A project in a region."""

    project: Annotated[str | None, typer.Option(envvar="GOOGLE_CLOUD_PROJECT", help="Vertex: the project.")] = None
    location: Annotated[
        str | None, typer.Option(envvar="GOOGLE_CLOUD_REGION", help="Vertex: the region, such as europe-west4.")
    ] = None


def connect(address: Address) -> Connection:
    """Makes the official client for a project."""
    # They load kfp: a second that `graft --help` does not have.
    from pipeline.kubeflow.vertex.client import Vertex
    from pipeline.kubeflow.vertex.jobs import locate

    return Vertex(locate(address.project, address.location))


def has_path(config: Config, path: str) -> bool:
    """Tells whether a path lies in a bucket, which Vertex mounts in every pod."""
    return path.startswith("/gcs/")


def check(config: Config) -> Iterator[str]:
    """Finds a working directory outside of buckets, GPUs without a type, and what only Kubernetes has."""
    cluster = config.kubeflow
    if not has_path(config, cluster.workdir):
        yield (
            f"kubeflow.workdir: Vertex mounts no volumes but buckets, below /gcs: expected /gcs/BUCKET/FOLDER, "
            f"found {cluster.workdir}"
        )
    for name, node in cluster.nodes.items():
        kind = node.gpu_type or ""
        if (node.gpu_count or kind) and not GPU_TYPE.fullmatch(kind):
            yield (
                f"kubeflow.nodes.{name}.gpu_type: Vertex needs a type such as NVIDIA_TESLA_T4, found {kind or 'none'}"
            )
    for key, fix in INSTEAD.items():
        nodes = [f"nodes.{name}.{key}" for name, node in cluster.nodes.items() if getattr(node, key, None)]
        for place in ([key] if getattr(cluster, key) else []) + nodes:
            yield f"kubeflow.{place}: Vertex has none; {fix}"


def gpu_type(resources: Resources) -> str:
    """Gives the type, such as NVIDIA_TESLA_T4."""
    return str(resources.gpu_type)


def platform(cluster: KubeflowOptions, nodes: list[str], labels: dict[str, str]) -> dict[str, Any]:
    """Gives nothing: Vertex takes one document."""
    return {}
