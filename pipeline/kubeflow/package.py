"""A compiled file as it is sent to a server: what a person is told of it, and the parameters of one run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import InputError
from pipeline.kubeflow.compiled import CompiledPipeline, read_compiled


@dataclass(frozen=True)
class Package:
    """A compiled file.

    Attributes:
        path: of the file, `.yaml`.
        pipeline: what is in it.
        digest: of the file's bytes, 16 hex digits.
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
    return Package(path, pipeline, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
