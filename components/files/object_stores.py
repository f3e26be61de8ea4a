"""Connections to `s3://` and `gs://` through pyarrow, which TFX brings on every line.

Credentials, regions and profiles are found as the clients of Amazon and Google find them. `AWS_ENDPOINT_URL` (or
`AWS_ENDPOINT_URL_S3`) names another service that speaks S3, `STORAGE_EMULATOR_HOST` one that speaks Google's.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

CONNECT_SECONDS = 10.0
GCS_RETRY_SECONDS = 20
ADDRESS_VARIABLES = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",)}


def connect_to_bucket(scheme: str, bucket: str) -> Any:
    """Connects to the service that has a bucket; gives its `pyarrow.fs.FileSystem`, whose paths begin with the bucket.

    Args:
        scheme: `s3` or `gs`.
        bucket: name of the bucket: its region is looked up where the environment names none.

    Raises:
        OSError, ValueError: the service cannot be reached, or its address is none.
    """
    address = next(filter(None, map(os.environ.get, ADDRESS_VARIABLES[scheme])), "")
    return _connect(os.getpid(), scheme, bucket, address)


@lru_cache(maxsize=64)
def _connect(_process: int, scheme: str, bucket: str, address: str) -> Any:
    """Connects once in each process: after a fork, the connections of the parent must not be used."""
    from pyarrow import fs  # a command begins without it

    parts = urlsplit(address if "://" in address else f"http://{address}")
    place = {"scheme": parts.scheme, "endpoint_override": parts.netloc + parts.path.rstrip("/")} if address else {}
    if scheme == "gs":
        return fs.GcsFileSystem(anonymous=bool(address), retry_time_limit=timedelta(seconds=GCS_RETRY_SECONDS), **place)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and not address:
        region = _find_region(bucket)
    return fs.S3FileSystem(region=region, connect_timeout=CONNECT_SECONDS, **place)


def _find_region(bucket: str) -> str | None:
    """Looks up the region of an Amazon bucket; None where Amazon does not say: the profile's then counts."""
    from pyarrow import fs

    try:
        return str(fs.resolve_s3_region(bucket))
    except (OSError, ValueError):
        return None
