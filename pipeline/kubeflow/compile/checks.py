"""What a cluster would refuse, refused when the pipeline is compiled, in words. No TensorFlow, TFX or kfp."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePosixPath

from components.errors import InputError, did_you_mean
from components.trainer.backbones.table import is_saved_model
from pipeline.beam import BEAM_NODES, beam_args, workers_share_the_disk
from pipeline.config.configuration import Config
from pipeline.config.kubeflow import KUBERNETES_GPU, Resources
from pipeline.fingerprint import NODE_MODULES
from pipeline.sample import is_sample


class Target(str, Enum):
    """What a pipeline is compiled for."""

    KFP = "kfp"
    VERTEX = "vertex"


ROOT_SCHEMES = {Target.KFP: ("gs", "s3", "minio"), Target.VERTEX: ("gs",)}
MODEL_NODES = ("Trainer", "Tuner", "Evaluator", "ServableCheck")  # they run the model: a GPU is of use
PLAN_NODE = "Plan"
VERTEX_GPU = re.compile(r"NVIDIA_[A-Z0-9_]+")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_compilable(config: Config, target: Target) -> None:
    """Finds everything that stands against a configuration on a target.

    Raises:
        InputError: every problem, a line each: what was expected, what was found, what to do.
    """
    problems = [
        *_image(config),
        *_root(config, target),
        *_workdir(config, target),
        *_files(config, target),
        *_nodes(config, target),
        *_labels(config),
        *_beam(config),
        *(_kubernetes_only(config) if target is Target.VERTEX else ()),
    ]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"The configuration cannot be compiled for {target.value}:\n{lines}")


def _image(config: Config) -> Iterator[str]:
    image = config.kubeflow.image
    if not image:
        yield "kubeflow.image: expected a container image with Graft in it, such as registry/graft:0.1; there is none"
    elif "@sha256:" not in image and ":" not in image.rpartition("/")[2]:
        yield (
            f"kubeflow.image: {image} has neither tag nor digest, so each pod might get another one; "
            f"write {image}:TAG or {image}@sha256:DIGEST"
        )


def _root(config: Config, target: Target) -> Iterator[str]:
    root, schemes = config.kubeflow.pipeline_root, ROOT_SCHEMES[target]
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    if not root:
        yield f"kubeflow.pipeline_root: expected a {allowed} folder for the artifacts; there is none"
    elif root.partition("://")[0] not in schemes or "://" not in root:
        found = root if "://" in root else f"the local path {root}, which no pod shares with another"
        yield f"kubeflow.pipeline_root: expected {allowed}BUCKET/FOLDER, found {found}"


def _workdir(config: Config, target: Target) -> Iterator[str]:
    workdir = config.kubeflow.workdir
    if target is Target.VERTEX:
        if not workdir.startswith("/gcs/"):
            yield (
                f"kubeflow.workdir: Vertex mounts no volumes but buckets, below /gcs: expected /gcs/BUCKET/FOLDER, "
                f"found {workdir}"
            )
    elif not _is_mounted(config, workdir):
        yield (
            f"kubeflow.workdir: no volume is mounted at {workdir}, so what is pushed would go with the pod; "
            f"add one: kubeflow.volumes: [{{claim: NAME, mount_path: {workdir}}}]"
        )


def _is_mounted(config: Config, path: str) -> bool:
    return any(PurePosixPath(path).is_relative_to(volume.mount_path) for volume in config.kubeflow.volumes)


def _files(config: Config, target: Target) -> Iterator[str]:
    """Paths of this machine are no paths of a pod."""
    trainer, cluster = config.trainer, config.kubeflow
    named = [("data.path", "kubeflow.data_path", cluster.data_path or config.data.path or "")]
    if trainer.weights not in ("imagenet", "none"):
        named.append(("trainer.weights", "kubeflow.weights", cluster.weights or trainer.weights))
    if is_saved_model(trainer.backbone):
        named.append(("trainer.backbone", "trainer.backbone", trainer.backbone))
    named.append(("beam.shared_path", "beam.shared_path", config.beam.shared_path or ""))
    for key, mended_by, path in named:
        where = "/gcs/BUCKET/..." if target is Target.VERTEX else "a path below a volume's mount_path"
        given = path in (cluster.data_path, cluster.weights)  # the image may hold it: the user has said so
        if not path or is_sample(path) or "://" in path or (given and path.startswith("/")):
            continue
        if target is Target.VERTEX and path.startswith("/gcs/"):
            continue
        if target is Target.KFP and path.startswith("/") and _is_mounted(config, path):
            continue
        yield f"{key}: {path} is a path of this machine; say where it lies in a pod with {mended_by}: {where}"


def _nodes(config: Config, target: Target) -> Iterator[str]:
    known = [PLAN_NODE, *NODE_MODULES]
    for node, resources in config.kubeflow.nodes.items():
        if node not in known:
            yield f"kubeflow.nodes.{node}: there is no such node.{did_you_mean(node, known)} Known: {', '.join(known)}"
        elif resources.gpu_count or resources.gpu_type:
            yield from _gpu(node, resources, target)
    trainer = config.kubeflow.nodes.get("Trainer", Resources())
    if trainer.gpu_count and config.trainer.devices.startswith("cpu"):
        yield (
            f"kubeflow.nodes.Trainer.gpu_count: {trainer.gpu_count} asked for, but trainer.devices is "
            f"'{config.trainer.devices}'; set trainer.devices to auto or gpu"
        )


def _gpu(node: str, resources: Resources, target: Target) -> Iterator[str]:
    name, kind = f"kubeflow.nodes.{node}", resources.gpu_type or ""
    if node not in MODEL_NODES:
        yield f"{name}.gpu_count: {node} cannot use a GPU; it is of use to {', '.join(MODEL_NODES)}"
    if not resources.gpu_count:
        yield f"{name}.gpu_type: {kind} asked for without a number; set gpu_count"
    if target is Target.VERTEX and not VERTEX_GPU.fullmatch(kind):
        yield f"{name}.gpu_type: Vertex needs a type such as NVIDIA_TESLA_T4, found {kind or 'none'}"
    if target is Target.KFP and kind and not VERTEX_GPU.fullmatch(kind) and kind != KUBERNETES_GPU:
        yield f"{name}.gpu_type: expected {KUBERNETES_GPU} or a type such as NVIDIA_TESLA_T4, found {kind}"


def _beam(config: Config) -> Iterator[str]:
    """Workers outside of the task do not have its local copies, so they work on the bucket itself."""
    for node in BEAM_NODES:
        args = beam_args(config.beam, node)
        root = config.kubeflow.pipeline_root
        if root.startswith(("s3://", "minio://")) and not workers_share_the_disk(args):
            yield (
                f"beam: the workers of {node} do not run in its pod ({args[0]}), so they see the bucket only, and "
                f"TensorFlow opens gs:// only, found kubeflow.pipeline_root: {root}; "
                f"use gs://, or beam.nodes.{node}.runner: DirectRunner"
            )
            return


def _labels(config: Config) -> Iterator[str]:
    places = {"kubeflow.node_selector": config.kubeflow.node_selector}
    places |= {f"kubeflow.nodes.{node}.node_selector": r.node_selector for node, r in config.kubeflow.nodes.items()}
    for place, labels in places.items():
        for key, value in labels.items():
            if not (LABEL_KEY.fullmatch(key) and LABEL.fullmatch(value)):
                yield (
                    f"{place}: Kubernetes refuses '{key}: {value}'; a label has at most 63 letters, digits, '-', '_' "
                    "and '.', and its key may have a domain and '/' before it"
                )


def _kubernetes_only(config: Config) -> Iterator[str]:
    cluster = config.kubeflow
    instead = {
        "volumes": "put the data into a bucket and use /gcs/BUCKET/...",
        "secrets": "give the rights to the service account that the job runs as",
        "node_selector": "Vertex picks the machine by cpu, memory and gpu_type",
        "tolerations": "Vertex picks the machine by cpu, memory and gpu_type",
    }
    for key, what in instead.items():
        nodes = [f"nodes.{name}.{key}" for name, node in cluster.nodes.items() if getattr(node, key, None)]
        for place in ([key] if getattr(cluster, key) else []) + nodes:
            yield f"kubeflow.{place}: Vertex has none; {what}"
