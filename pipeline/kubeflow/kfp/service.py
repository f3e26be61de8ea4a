"""Open-source Kubeflow Pipelines: a row of `services.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from pipeline.config.configuration import Config
from pipeline.config.kubeflow import GPU_TYPE, KUBERNETES_GPU, KubeflowOptions, Resources, Toleration
from pipeline.kubeflow.service import Connection

NAME = "kfp"
TITLE = "open-source Kubeflow Pipelines"
ROOT_SCHEMES = ("gs", "s3", "minio")
POD_PATHS = "a path below a volume's mount_path"
# Argo counts `backoffMaxDuration` from the start of the first attempt: nothing is retried after it, and a retry ends
# with it (argo-workflows, workflow/controller/operator.go). Unset means no time at all. So it is a year: the number of
# retries is the limit.
RETRY_WINDOW = 365 * 24 * 3600
HOLDS_DATABASES = True
DRIVER = "kubeflow"


@dataclass(frozen=True)
class Address:
    """Where a Kubeflow server is, and what it wants to know of its caller."""

    host: Annotated[
        str | None, typer.Option(help="Address of Kubeflow. Default: $KF_PIPELINES_ENDPOINT.", metavar="URL")
    ] = None
    namespace: Annotated[
        str | None, typer.Option(envvar="GRAFT_NAMESPACE", help="Your profile's, on a multi-user Kubeflow.")
    ] = None
    token_file: Annotated[
        str | None, typer.Option(help="Holds a bearer token; or set GRAFT_KFP_TOKEN.", metavar="FILE")
    ] = None


def connect(address: Address) -> Connection:
    """Makes the official client of a server."""
    # They load kfp: a second that `graft --help` does not have.
    from pipeline.kubeflow.kfp.client import Kubeflow
    from pipeline.kubeflow.kfp.connection import make_server

    return Kubeflow(make_server(address.host, address.namespace, address.token_file))


def has_path(config: Config, path: str) -> bool:
    """Tells whether a path lies on a volume that every pod mounts."""
    volumes = config.kubeflow.volumes
    return path.startswith("/") and any(PurePosixPath(path).is_relative_to(volume.mount_path) for volume in volumes)


def check(config: Config) -> Iterator[str]:
    """Finds a working directory that goes with its pod, and GPU types that nobody knows."""
    workdir = config.kubeflow.workdir
    if not has_path(config, workdir):
        yield (
            f"kubeflow.workdir: no volume is mounted at {workdir}, so what is pushed would go with the pod; "
            f"add one: kubeflow.volumes: [{{claim: NAME, mount_path: {workdir}}}]"
        )
    for node, resources in config.kubeflow.nodes.items():
        kind = resources.gpu_type or ""
        if kind and not GPU_TYPE.fullmatch(kind) and kind != KUBERNETES_GPU:
            yield (
                f"kubeflow.nodes.{node}.gpu_type: expected {KUBERNETES_GPU} or a type such as NVIDIA_TESLA_T4, "
                f"found {kind}"
            )


def gpu_type(resources: Resources) -> str:
    """Gives the resource that Kubernetes counts; a node selector picks the type."""
    return KUBERNETES_GPU


def platform(cluster: KubeflowOptions, nodes: list[str], labels: dict[str, str]) -> dict[str, Any]:
    """Makes volumes, secrets, node selectors, tolerations and labels of each node's pod, as `kfp.kubernetes` does.

    Names of volumes and secrets are given in the form of the proto's first version, which newer servers take as well.
    """
    executors = {f"{node}_executor": _executor(cluster, cluster.nodes.get(node, Resources()), labels) for node in nodes}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor(cluster: KubeflowOptions, own: Resources, labels: dict[str, str]) -> dict[str, Any]:
    selector = {**cluster.node_selector, **own.node_selector}
    content: dict[str, Any] = {
        "pvcMount": [{"constant": volume.claim, "mountPath": volume.mount_path} for volume in cluster.volumes],
        "secretAsEnv": [
            {
                "secretName": secret.name,
                "keyToEnv": [{"secretKey": key, "envVar": name} for key, name in sorted(secret.env.items())],
            }
            for secret in cluster.secrets
        ],
        "nodeSelector": {"labels": selector} if selector else None,
        "tolerations": [_toleration(toleration) for toleration in (*cluster.tolerations, *own.tolerations)],
        "podMetadata": {"labels": dict(labels)},
    }
    return {key: value for key, value in content.items() if value}


def _toleration(toleration: Toleration) -> dict[str, Any]:
    content = toleration.model_dump(mode="json", exclude={"seconds"})
    if toleration.seconds is not None:
        content["tolerationSeconds"] = toleration.seconds
    return {key: value for key, value in content.items() if value != ""}
