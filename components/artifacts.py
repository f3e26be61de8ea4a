"""Artifact types of our own that flow between nodes, and the file that every gate leaves in its artifact.

On Kubeflow a type is known by its name alone, of the form `namespace.Name`; `TYPES` leads from the name to the class.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.io import fileio

from components import features


class Manifest(types.Artifact):
    """Manifest, quarantine ledger and counts of the data that a run was given."""

    TYPE_NAME = "graft.Manifest"


class DataVerdict(types.Artifact):
    """What DataGate decided, and why."""

    TYPE_NAME = "graft.DataVerdict"


TYPES: dict[str, type[types.Artifact]] = {kind.TYPE_NAME: kind for kind in (Manifest, DataVerdict)}


def read_verdicts(uris: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What each gate said: {gate: the content of its `verdict.json`}; the argument is {gate: its artifact's URI}."""
    verdicts = {}
    for gate, uri in uris.items():
        with fileio.open(os.path.join(uri, features.VERDICT_FILE), "r") as file:
            verdicts[gate] = json.load(file)
    return verdicts
