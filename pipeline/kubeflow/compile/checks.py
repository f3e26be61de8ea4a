"""What a cluster would refuse, refused when the pipeline is compiled, in words. No TensorFlow, TFX or kfp."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.errors import InputError, did_you_mean
from components.files.paths import is_remote
from components.trainer.backbones.table import path_in
from pipeline.beam import BEAM_NODES, FEATURE_PASS_NODE, beam_args, workers_share_the_disk
from pipeline.config.configuration import Config
from pipeline.config.kubeflow import Resources
from pipeline.fingerprint import NODE_MODULES
from pipeline.kubeflow.service import Service
from pipeline.sample import is_sample

MODEL_NODES = ("Trainer", "Tuner", "Evaluator", "ServableCheck")  # they run the model: a GPU is of use
PLAN_NODE = "Plan"
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def check_compilable(config: Config, service: Service) -> None:
    """Finds everything that stands against a configuration on a service.

    Raises:
        InputError: every problem, a line each: what was expected, what was found, what to do.
    """
    problems = [
        *_image(config),
        *_root(config, service),
        *_files(config, service),
        *_nodes(config),
        *_labels(config),
        *_beam(config),
        *_feature_pass(config),
        *service.check(config),
    ]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"The configuration cannot be compiled for {service.NAME}:\n{lines}")


def _image(config: Config) -> Iterator[str]:
    image = config.kubeflow.image
    if not image:
        yield "kubeflow.image: expected a container image with Graft in it, such as registry/graft:0.1; there is none"
    elif "@sha256:" not in image and ":" not in image.rpartition("/")[2]:
        yield (
            f"kubeflow.image: {image} has neither tag nor digest, so each pod might get another one; "
            f"write {image}:TAG or {image}@sha256:DIGEST"
        )


def _root(config: Config, service: Service) -> Iterator[str]:
    root, schemes = config.kubeflow.pipeline_root, service.ROOT_SCHEMES
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    if not root:
        yield f"kubeflow.pipeline_root: expected a {allowed} folder for the artifacts; there is none"
    elif root.partition("://")[0] not in schemes or not is_remote(root):
        found = root if is_remote(root) else f"the local path {root}, which no pod shares with another"
        yield f"kubeflow.pipeline_root: expected {allowed}BUCKET/FOLDER, found {found}"


def _files(config: Config, service: Service) -> Iterator[str]:
    """Paths of this machine are no paths of a pod."""
    trainer, cluster = config.trainer, config.kubeflow
    named = [("data.path", "kubeflow.data_path", cluster.data_path or config.data.path or "")]
    if trainer.weights not in ("imagenet", "none"):
        named.append(("trainer.weights", "kubeflow.weights", cluster.weights or trainer.weights))
    if config.data.corrections:
        place = cluster.corrections or config.data.corrections
        named.append(("data.corrections", "kubeflow.corrections", place))
    named.append(("trainer.backbone", "trainer.backbone", path_in(trainer.backbone)))
    named.append(("beam.shared_path", "beam.shared_path", config.beam.shared_path or ""))
    for key, mended_by, path in named:
        given = path in (
            cluster.data_path,
            cluster.weights,
            cluster.corrections,
        )  # the image may hold it: the user has said so
        if not path or is_sample(path) or is_remote(path) or (given and path.startswith("/")):
            continue
        if not service.has_path(config, path):
            fix = f"say where it lies in a pod with {mended_by}: {service.POD_PATHS}"
            yield f"{key}: {path} is a path of this machine; {fix}"


def _nodes(config: Config) -> Iterator[str]:
    known = [PLAN_NODE, *NODE_MODULES]
    for node, resources in config.kubeflow.nodes.items():
        if node not in known:
            yield f"kubeflow.nodes.{node}: there is no such node.{did_you_mean(node, known)} Known: {', '.join(known)}"
        elif resources.gpu_count or resources.gpu_type:
            yield from _gpu(node, resources)
    trainer = config.kubeflow.nodes.get("Trainer", Resources())
    if trainer.gpu_count and config.trainer.devices.startswith("cpu"):
        yield (
            f"kubeflow.nodes.Trainer.gpu_count: {trainer.gpu_count} asked for, but trainer.devices is "
            f"'{config.trainer.devices}'; set trainer.devices to auto or gpu"
        )


def _gpu(node: str, resources: Resources) -> Iterator[str]:
    name = f"kubeflow.nodes.{node}"
    if node not in MODEL_NODES:
        yield f"{name}.gpu_count: {node} cannot use a GPU; it is of use to {', '.join(MODEL_NODES)}"
    if not resources.gpu_count:
        yield f"{name}.gpu_type: {resources.gpu_type} asked for without a number; set gpu_count"


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


def _feature_pass(config: Config) -> Iterator[str]:
    """Trainer and Tuner work on their pods' copies of examples and transform graph, and keep features on a volume."""
    args = beam_args(config.beam, FEATURE_PASS_NODE)
    if config.trainer.feature_pass == "beam" and not workers_share_the_disk(args):
        yield (
            f"trainer.feature_pass: beam: the Trainer's workers do not run in its pod ({args[0]}), so they do not see "
            "the examples and kept features that it works on; use trainer.feature_pass: local, or "
            f"beam.nodes.{FEATURE_PASS_NODE}.runner: DirectRunner"
        )


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
