"""TensorFlow Serving's REST interface: its paths (which model, which version, which method), and its errors."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

MODEL = r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICTION = re.compile(MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
STATUS = re.compile(MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
LARGEST_VERSION = 2**63 - 1


class ServingError(Exception):
    """A request is refused; the body is `{"error": message}`, as TensorFlow Serving's.

    Attributes:
        status: of HTTP. TensorFlow Serving's: 400 for INVALID_ARGUMENT, 404 NOT_FOUND, 500 INTERNAL, 503 UNAVAILABLE;
            and 408 and 413, which are the web server's own there.
        message: one line for the caller.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> ServingError:
    """Makes an error of code INVALID_ARGUMENT."""
    return ServingError(400, message)


def not_found(message: str) -> ServingError:
    """Makes an error of code NOT_FOUND."""
    return ServingError(404, message)


class RestTarget(NamedTuple):
    """What a path names; with `version` None and an empty `label` it is the version that is served."""

    name: str
    version: int | None
    label: str
    method: str


def parse_target(method: str, path: str) -> RestTarget:
    """Reads which model, version and method a request names.

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
