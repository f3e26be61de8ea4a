"""Pipeline roots of `graft execute`: the only way from one task to another. A store is a row of `open_store`."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Protocol

from components.errors import InputError, first_line
from components.files.digests import CHUNK, combine, digest_folder

LOCAL_BUCKET = "graft-local"  # the bucket that a folder stands for: artifacts need a scheme, a path is refused


class Store(Protocol):
    """A bucket or what stands for one; all names are URIs below `root`."""

    root: str

    def download(self, uri: str, target: Path) -> None:
        """Copies the object, or all objects below the URI, to a file or folder; nothing where there is nothing."""

    def upload(self, source: Path, uri: str) -> None:
        """Copies a file, or all files of a folder; nothing where the source does not exist."""

    def read(self, uri: str) -> str | None:
        """The text of one object; None where there is none."""

    def write(self, uri: str, text: str) -> None:
        """Writes one object."""

    def exists(self, uri: str) -> bool:
        """Whether there is an object of that name, or below it."""

    def digest(self, uri: str) -> str:
        """As `components.files.digests.digest_folder`, over all objects below the URI."""


def open_store(root: str, scheme: str = "gs") -> Store:
    """A folder, which stands for a bucket, or `s3://bucket/prefix`.

    Args:
        root: as the user gave it.
        scheme: of the URIs where the root is a folder.

    Raises:
        InputError: another scheme, or no way to it.
    """
    if root.startswith("s3://"):
        return S3Store(root.rstrip("/"))
    if "://" in root:
        raise InputError(f"--root: expected a folder or s3://BUCKET/PREFIX, found {root}.")
    return FolderStore(Path(root).resolve(), scheme)


class FolderStore:
    """A folder in the place of a bucket."""

    def __init__(self, folder: Path, scheme: str) -> None:
        self.root, self._folder = f"{scheme}://{LOCAL_BUCKET}", folder

    def _path(self, uri: str) -> Path:
        return self._folder / uri.removeprefix(self.root).strip("/")

    def download(self, uri: str, target: Path) -> None:
        """As in `Store`."""
        _copy(self._path(uri), target)

    def upload(self, source: Path, uri: str) -> None:
        """As in `Store`."""
        _copy(source, self._path(uri))

    def read(self, uri: str) -> str | None:
        """As in `Store`."""
        return self._path(uri).read_text("utf-8") if self._path(uri).is_file() else None

    def write(self, uri: str, text: str) -> None:
        """As in `Store`; the object is there whole or not at all."""
        path = self._path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        partial.write_text(text, "utf-8")
        partial.replace(path)

    def exists(self, uri: str) -> bool:
        """As in `Store`; like a bucket, it knows no empty folder."""
        path = self._path(uri)
        return path.is_file() or any(entry.is_file() for entry in path.rglob("*"))

    def digest(self, uri: str) -> str:
        """As in `Store`."""
        return digest_folder(str(self._path(uri)))


def _copy(source: Path, target: Path) -> None:
    """Copies files only: a bucket has no empty folders, so none may appear."""
    files = [source] if source.is_file() else [path for path in sorted(source.rglob("*")) if path.is_file()]
    for file in files:
        place = target if file == source else target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


class S3Store:
    """A bucket of an S3 endpoint: AWS_ENDPOINT_URL, or Amazon's; credentials as boto3 finds them."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._bucket, _, self._prefix = root.removeprefix("s3://").partition("/")
        self._client = _s3_client()
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except _s3_errors() as error:
            raise InputError(
                f"--root: cannot use the bucket {self._bucket}: {first_line(error)}\n"
                "Check AWS_ENDPOINT_URL, the credentials, and that the bucket exists."
            ) from error

    def _key(self, uri: str) -> str:
        return uri.removeprefix(f"s3://{self._bucket}").strip("/")

    def _keys(self, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [key for key in keys if key == prefix or key.startswith(f"{prefix}/")]

    def download(self, uri: str, target: Path) -> None:
        """As in `Store`."""
        prefix = self._key(uri)
        for key in self._keys(prefix):
            place = target if key == prefix else target / key.removeprefix(f"{prefix}/")
            place.parent.mkdir(parents=True, exist_ok=True)
            self._client.download_file(self._bucket, key, str(place))

    def upload(self, source: Path, uri: str) -> None:
        """As in `Store`."""
        files = [source] if source.is_file() else [path for path in sorted(source.rglob("*")) if path.is_file()]
        for file in files:
            key = self._key(uri) if file == source else f"{self._key(uri)}/{file.relative_to(source).as_posix()}"
            self._client.upload_file(str(file), self._bucket, key)

    def read(self, uri: str) -> str | None:
        """As in `Store`."""
        try:
            return str(self._client.get_object(Bucket=self._bucket, Key=self._key(uri))["Body"].read().decode("utf-8"))
        except self._client.exceptions.NoSuchKey:
            return None

    def write(self, uri: str, text: str) -> None:
        """As in `Store`."""
        self._client.put_object(Bucket=self._bucket, Key=self._key(uri), Body=text.encode())

    def exists(self, uri: str) -> bool:
        """As in `Store`."""
        return bool(self._keys(self._key(uri)))

    def digest(self, uri: str) -> str:
        """As in `Store`; the empty objects that stand for folders do not count."""
        prefix = f"{self._key(uri)}/"
        keys = [key for key in self._keys(prefix.rstrip("/")) if key.startswith(prefix) and not key.endswith("/")]
        return combine({key.removeprefix(prefix): self._digest(key) for key in keys})

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._client.get_object(Bucket=self._bucket, Key=key)["Body"].iter_chunks(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()


def _s3_client() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise InputError(
            "--root: s3:// needs boto3, which is not installed.\nInstall it: pip install boto3."
        ) from error
    return boto3.client("s3")


def _s3_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError
