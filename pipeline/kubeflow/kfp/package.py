"""A compiled file as it is sent to a server: what a person is told of it, and the parameters of one run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2

from components.errors import InputError
from pipeline.kubeflow.compiled import CompiledPipeline, read_compiled


@dataclass(frozen=True)
class Package:
    """A compiled file.

    Attributes:
        path: of the file, `.yaml`.
        pipeline: what is in it.
        digest: of its content, 16 hex digits.
    """

    path: Path
    pipeline: CompiledPipeline
    digest: str

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.pipeline.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """The tasks, each after those that it waits for."""
        return tuple(task.name for task in self.pipeline.tasks)

    @property
    def root(self) -> str:
        """The pipeline root that the file names; empty: none."""
        return str(self.pipeline.spec.default_pipeline_root)

    def nodes_of(self, sent: Sent) -> tuple[str, ...]:
        """The tasks of a run: this pipeline's, unless it is known to be made from another."""
        return self.nodes if sent.digest in ("", self.digest) else sent.nodes

    def sent_with(self, parameters: dict[str, Any]) -> Sent:
        """This pipeline with these parameters, as a run is made from it."""
        return Sent(self.name, self.nodes, self.digest, self.root, parameters)

    def check_parameters(self, given: list[str]) -> dict[str, Any]:
        """`name=value`, as `--param` takes them, with the types that the file asks for; defaults are the server's.

        Raises:
            InputError: no such parameter, another type, or one without a default that is not given.
        """
        texts = {}
        for text in given:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise InputError(f"--param: expected NAME=VALUE, got '{text}'.")
            texts[name] = value
        values = self.pipeline.resolve_parameters(texts)
        return {name: values[name] for name in texts}


@dataclass(frozen=True)
class Sent:
    """What a run is made from.

    Attributes:
        name: of the pipeline; empty: the server does not say what it ran.
        nodes: its tasks.
        digest: of the pipeline, see `digest_of`.
        root: the pipeline root; empty: the server's.
        parameters: that differ from the pipeline's defaults.
    """

    name: str = ""
    nodes: tuple[str, ...] = ()
    digest: str = ""
    root: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def read_sent(spec: dict[str, Any], parameters: dict[str, Any], root: str) -> Sent:
    """What a server says that a run was made from.

    Args:
        spec: a PipelineSpec, or one beside the `platform_spec`, as the client sends both.
        parameters: of the run.
        root: of the run.
    """
    own, platform = spec.get("pipeline_spec", spec), spec.get("platform_spec", {})
    parameters = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in parameters.items()}
    if "pipelineInfo" not in own:
        return Sent(root=root, parameters=parameters)
    nodes = tuple(own.get("root", {}).get("dag", {}).get("tasks", {}))
    return Sent(own["pipelineInfo"].get("name", ""), nodes, digest_of(own, platform), root, parameters)


def digest_of(spec: dict[str, Any], platform: dict[str, Any]) -> str:
    """Digest of a pipeline by its content, 16 hex digits: the same for the file and for what a server gives back.

    Servers keep both documents as they are; numbers may come back as floats, and comments do not.
    """
    content = json_format.ParseDict({"spec": spec, "platform": platform}, struct_pb2.Struct())
    text = json.dumps(json_format.MessageToDict(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_compiled(path: str) -> bool:
    """Whether a file is a compiled pipeline rather than a configuration."""
    try:
        return "\npipelineInfo:" in "\n" + Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def read_package(path: Path) -> Package:
    """Reads a compiled file, with or without a second document for the platform.

    Raises:
        InputError: it cannot be read, or it is no compiled pipeline that Kubeflow would take.
    """
    pipeline = read_compiled(path)
    documents = [*yaml.safe_load_all(path.read_text("utf-8")), {}]
    return Package(path, pipeline, digest_of(documents[0], documents[1] or {}))
