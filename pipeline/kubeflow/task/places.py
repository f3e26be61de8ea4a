"""Where an artifact of the cluster lies in this pod.

Kubeflow's launcher copies `s3://bucket/key` to `/s3/bucket/key` before a task and back after it, and Vertex mounts
`gs://bucket` at `/gcs/bucket`. Tasks work on these local files: every library opens them, and no directory markers or
half-written objects appear in the bucket.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

LOCAL_ROOT_VARIABLE = "GRAFT_LOCAL_ROOT"  # set by `graft execute`: what is `/` in a pod
FOLDERS = {"gs": "gcs", "s3": "s3", "minio": "minio"}


def local_root() -> Path:
    """What is `/` to the launcher."""
    return Path(os.environ.get(LOCAL_ROOT_VARIABLE, "/"))


def local_path(uri: str) -> Path | None:
    """Where the launcher keeps an artifact; None for a scheme that it does not copy."""
    scheme, _, rest = uri.partition("://")
    return local_root() / FOLDERS[scheme] / rest if scheme in FOLDERS and rest else None


def to_local(uri: str) -> str:
    """The local path of an artifact where the platform has one, else the URI as it is."""
    path = local_path(uri)
    return str(path) if path and (local_root() / path.relative_to(local_root()).parts[0]).is_dir() else uri


def to_uri(path: str) -> str:
    """The inverse of `to_local`; other texts stay as they are."""
    for scheme, folder in FOLDERS.items():
        prefix = f"{local_root() / folder}/"
        if path.startswith(prefix):
            return f"{scheme}://{path.removeprefix(prefix)}"
    return path


def to_uris(value: Any) -> Any:
    """`to_uri` for every text in a value made of dicts, lists and scalars."""
    if isinstance(value, dict):
        return {key: to_uris(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_uris(inner) for inner in value]
    return to_uri(value) if isinstance(value, str) else value
