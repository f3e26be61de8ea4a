"""TensorFlow Serving's REST paths: which model, which version, which method."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from pipeline.serve.errors import invalid
from pipeline.serve.host import Host

MODEL = r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICTION = re.compile(MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
STATUS = re.compile(MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
LARGEST_VERSION = 2**63 - 1


class RestTarget(NamedTuple):
    """What a path names; `version` None and an empty `label`: the one that is served."""

    name: str
    version: int | None
    label: str
    method: str


def parse_target(method: str, path: str) -> RestTarget:
    """What a request is about.

    Args:
        method: of HTTP.
        path: as sent, percent signs and all.

    Raises:
        ServingError: it is nothing that TensorFlow Serving knows.
    """
    found = {"POST": PREDICTION, "GET": STATUS, "HEAD": STATUS}.get(method, re.compile("(?!)")).fullmatch(path)
    if found is None:
        raise invalid(f"Malformed request: {method} {path}")
    groups = found.groupdict()
    if not groups["name"]:
        raise invalid("Missing model name in request.")
    digits = groups["version"]
    if digits and (len(digits) > len(str(LARGEST_VERSION)) or int(digits) > LARGEST_VERSION):
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    version = int(digits) if digits else None
    kind = groups.get("method") or ("metadata" if groups.get("metadata") else "status")
    return RestTarget(unquote(groups["name"]), version, unquote(groups["label"] or ""), kind.lower())


def describe_metadata(host: Host, target: RestTarget) -> dict[str, Any]:
    """`GetModelMetadataResponse` as JSON.

    Raises:
        ServingError: no such model.
    """
    loaded = host.get(target.name, target.version, target.label)
    return {
        "model_spec": {"name": host.name, "signature_name": "", "version": str(loaded.number)},
        "metadata": {"signature_def": {"signature_def": loaded.signature_defs}},
    }
