"""Artifact types of our own that flow between nodes."""

from __future__ import annotations

from tfx import types


class Manifest(types.Artifact):
    """Manifest, quarantine ledger and counts of the data that a run was given."""

    TYPE_NAME = "GraftManifest"


class DataVerdict(types.Artifact):
    """What DataGate decided, and why."""

    TYPE_NAME = "GraftDataVerdict"
