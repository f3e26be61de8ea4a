"""The second document of a compiled pipeline: what only Kubernetes knows, as `kfp.kubernetes` writes it.

Names of volumes and secrets are given in the form of the proto's first version, which newer servers take as well.
"""

from __future__ import annotations

from typing import Any

from pipeline.config.kubeflow import KubeflowOptions, Resources, Toleration


def platform_document(cluster: KubeflowOptions, nodes: list[str], labels: dict[str, str]) -> dict[str, Any]:
    """Volumes, secrets, node selectors, tolerations and labels of each node's pod."""
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
