"""The `kubeflow:` section of a configuration: what a cluster must know that one machine need not.

No TensorFlow, TFX or kfp is imported here. What depends on the target is checked by `checks.py` when it is compiled.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from components.options.base import POD_PATH, Options

KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
MountPath = Annotated[str, Field(pattern=r"^/[^:]+$")]
Count = Annotated[int, Field(ge=0)]
MemorySize = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti|K|M|G|T)$")]

KUBERNETES_GPU = "nvidia.com/gpu"  # the resource that Kubernetes counts NVIDIA's accelerators by
GPU_TYPE = re.compile(r"NVIDIA_[A-Z0-9_]+")  # their types as Vertex spells them


class Toleration(Options):
    """A taint of a node that a pod tolerates, as in a pod's specification."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field("", description="Empty: every effect.")
    seconds: Count | None = Field(None, description="How long NoExecute is tolerated; null: for ever.")


class Volume(Options):
    """A PersistentVolumeClaim that exists, mounted in every pod."""

    claim: KubernetesName
    mount_path: MountPath = Field(json_schema_extra=POD_PATH)


class Secret(Options):
    """A Kubernetes secret whose keys become environment variables of every pod."""

    name: KubernetesName
    env: Annotated[dict[str, EnvName], Field(min_length=1)] = Field(description="Key of the secret: variable.")


class Resources(Options):
    """What one node gets; empty fields: what the cluster gives by default."""

    cpu: Annotated[float, Field(gt=0)] | None = Field(None, description="Cores: request and limit.")
    memory: MemorySize | None = Field(None, description="Such as 16G or 16Gi: request and limit.")
    gpu_count: Count = Field(0, description="GPUs; only nodes that run the model can use one.")
    gpu_type: str | None = Field(
        None, description="NVIDIA_TESLA_T4 and the like; Vertex needs it, on Kubernetes a node selector picks the type."
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Added to the one for all nodes.")
    tolerations: list[Toleration] = Field(default_factory=list, description="Added to those for all nodes.")
    retries: Count | None = Field(
        None, description="Wins over the one for all nodes, and asks Plan, DataGate or Pusher again after a no, too."
    )
    cache: bool | None = Field(None, description="False: the node runs each time; null: as the node is by nature.")


class KubeflowOptions(Options):
    """Image, places and resources of a compiled pipeline."""

    image: str = Field("", description="Container image with Graft in it, with a tag or a digest.")
    pipeline_root: str = Field(
        "", description="gs://, s3:// or minio:// folder for all artifacts.", json_schema_extra=POD_PATH
    )
    workdir: str = Field(
        "/mnt/graft",
        description="Working directory in each pod, on a volume: serving/, features/, data.sqlite.",
        json_schema_extra=POD_PATH,
    )
    data_path: str | None = Field(
        None, description="Where the data lies in a pod; null: data.path as it is.", json_schema_extra=POD_PATH
    )
    weights: str | None = Field(
        None, description="Where the weights file lies in a pod; null: trainer.weights.", json_schema_extra=POD_PATH
    )
    corrections: str | None = Field(
        None, description="Where the corrections lie in a pod; null: data.corrections.", json_schema_extra=POD_PATH
    )
    volumes: list[Volume] = Field(default_factory=list, description="Mounted in every pod.")
    secrets: list[Secret] = Field(default_factory=list, description="Environment of every pod.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="For the pods of all nodes.")
    tolerations: list[Toleration] = Field(default_factory=list, description="Of the pods of all nodes.")
    retries: Count = Field(
        0, description="How often a failed task is tried again; those that may say no (Plan, DataGate, Pusher) are not."
    )
    parameters: list[str] = Field(
        default_factory=lambda: ["trainer.epochs"], description="Options that a run may change, as runtime parameters."
    )
    nodes: dict[str, Resources] = Field(default_factory=dict, description="Per node, by its name in the pipeline.")

    @field_validator("workdir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("expected an absolute path, as it is in a pod, such as /mnt/graft")
        return value.rstrip("/") or "/"
