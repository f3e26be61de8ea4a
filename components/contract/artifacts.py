"""Artifacts between nodes: types of our own, the digest that each carries, and the file that every gate leaves in one.

On Kubeflow a type is known by its name alone, of the form `namespace.Name`; `TYPES` leads from the name to the class.

An artifact is bound to its bytes: who runs a node records `content_sha256` when the node has made it
(`record_content`), and holds what the next node is given against it (`check_contents`). A gate names in its verdict
what it judged (`contents_of`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfx import types

from components.contract import features
from components.errors import Damaged, first_line
from components.files.digests import CONTENT, digest_folder
from components.files.paths import exists, read_bytes

REMEDY = (
    "Run again: it is made anew; on a cluster, where kubeflow.nodes.<node>.cache is false for the task that made it."
)
Artifacts = Mapping[str, Sequence[types.Artifact]]


class Manifest(types.Artifact):
    """Manifest, quarantine ledger and counts of the data that a run was given."""

    TYPE_NAME = "graft.Manifest"


class DataVerdict(types.Artifact):
    """The verdict of DataGate with its reasons."""

    TYPE_NAME = "graft.DataVerdict"


class Page(types.Artifact):
    """The review page of a run, and what it shows."""

    TYPE_NAME = "graft.Page"


@dataclass(frozen=True)
class Baseline:
    """A pushed version to compare with, or why there is none; flows from BaselineModel to the Evaluator as JSON.

    Attributes:
        version: its number; None: there is no version.
        exists: whether the artifact holds its model, so that it can be run on the candidate's images.
        reason: why the artifact does not hold it.
        accuracy: recorded by the version's own run, 0..1; None: unknown.
        examples: number of images behind that accuracy.
    """

    version: int | None = None
    exists: bool = False
    reason: str = ""
    accuracy: float | None = None
    examples: int = 0


TYPES: dict[str, type[types.Artifact]] = {kind.TYPE_NAME: kind for kind in (Manifest, DataVerdict, Page)}


def read_verdicts(uris: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Reads each gate's `verdict.json`: {gate: its content}; the argument is {gate: its artifact's URI}."""
    verdicts = {}
    for gate, uri in uris.items():
        verdicts[gate] = json.loads(read_bytes(os.path.join(uri, features.VERDICT_FILE)))
    return verdicts


def record_contents(outputs: Artifacts) -> None:
    """Gives each artifact that a node has just made the digest of its files."""
    for artifact in _each(outputs):
        artifact.set_string_custom_property(CONTENT, digest_folder(artifact.uri))


def check_contents(inputs: Artifacts) -> None:
    """Holds the files of artifacts against the digests of when they were made.

    Raises:
        Damaged: a file was changed, added or removed since, or nothing is known of when they were made.
    """
    for name, artifacts in inputs.items():
        for artifact in artifacts:
            if damage := find_artifact_damage(artifact):
                raise Damaged(f"the {name} in {artifact.uri} {damage}. {REMEDY}")


def find_artifact_damage(artifact: types.Artifact) -> str:
    """Says in words how the files of an artifact differ from those that were made; empty where they do not."""
    expected = artifact.get_string_custom_property(CONTENT)
    if not expected:
        return "has no digest of when it was made"
    try:
        found = digest_folder(artifact.uri)
    except OSError as error:
        return f"cannot be read: {first_line(error)}"
    if found == expected:
        return ""
    if not exists(artifact.uri):
        return "is gone"
    return f"is not as it was made (sha256 {found[:12]}, expected {expected[:12]})"


def contents_of(inputs: Artifacts) -> dict[str, str]:
    """Gives {input: digest of its files when they were made}; a gate's verdict holds it as `judged`."""
    return {name: artifacts[0].get_string_custom_property(CONTENT) for name, artifacts in inputs.items() if artifacts}


def _each(artifacts: Artifacts) -> Iterator[types.Artifact]:
    return (artifact for group in artifacts.values() for artifact in group)
