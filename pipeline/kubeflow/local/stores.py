"""Pipeline roots of `graft execute`, through pyarrow's file systems: the only way from one task to another."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from components.errors import InputError, first_line
from components.files.digests import combine
from components.files.object_stores import connect_to_bucket
from components.files.paths import CHUNK, is_remote

LOCAL_BUCKET = "graft-local"  # the bucket that a folder stands for: artifacts need a scheme, a path is refused


@dataclass(frozen=True)
class Store:
    """A bucket, or a folder in the place of a bucket; all names are URIs below `root`.

    Attributes:
        root: URI of the pipeline root.
        system: the file system.
        folder: path of the pipeline root in the file system.
    """

    root: str
    system: FileSystem
    folder: str

    def _path(self, uri: str) -> str:
        return f"{self.folder}/{uri.removeprefix(self.root).strip('/')}"

    def address(self, uri: str) -> str:
        """Gives where others find an object: its path, where a folder stands for the bucket; else the URI itself."""
        return self._path(uri) if self._is_local else uri

    def _files(self, uri: str) -> dict[str, str]:
        """Finds the objects of that name or below it: path in the file system by name below the URI.

        What stands for a folder is none: a folder, or an empty object whose name ends with a slash.
        """
        path = self._path(uri)
        if self.system.get_file_info(path).type == FileType.File:
            return {"": path}
        selector = FileSelector(path, allow_not_found=True, recursive=True)
        found = (info.path for info in self.system.get_file_info(selector) if info.type == FileType.File)
        return {name.removeprefix(f"{path}/"): name for name in found if not name.endswith("/")}

    def download(self, uri: str, target: Path) -> None:
        """Copies the object, or all objects below the URI, to a file or folder; nothing where there is nothing."""
        for name, path in self._files(uri).items():
            place = target / name if name else target
            place.parent.mkdir(parents=True, exist_ok=True)
            with self.system.open_input_stream(path) as source, open(place, "wb") as file:
                shutil.copyfileobj(source, file, CHUNK)

    def upload(self, source: Path, uri: str) -> None:
        """Copies a file, or all files of a folder; nothing where the source does not exist."""
        files = [source] if source.is_file() else [path for path in sorted(source.rglob("*")) if path.is_file()]
        for file in files:
            name = uri if file == source else f"{uri}/{file.relative_to(source).as_posix()}"
            with open(file, "rb") as content, self._create(self._path(name)) as target:
                shutil.copyfileobj(content, target, CHUNK)

    @property
    def _is_local(self) -> bool:
        return bool(self.system.type_name == "local")

    def _create(self, path: str) -> Any:
        """Opens a new object; a bucket gets no folder, which would be an empty object in it."""
        if self._is_local:
            self.system.create_dir(os.path.dirname(path))
        return self.system.open_output_stream(path)

    def read(self, uri: str) -> str | None:
        """Reads the text of one object; None where there is none."""
        path = self._files(uri).get("")
        if path is None:
            return None
        with self.system.open_input_stream(path) as source:
            return bytes(source.read()).decode("utf-8")

    def write(self, uri: str, text: str) -> None:
        """Writes one object; it is there whole or not at all."""
        path = self._path(uri)
        partial = f"{path}.partial-{os.getpid()}" if self._is_local else path  # a bucket shows whole objects only
        with self._create(partial) as target:
            target.write(text.encode())
        if partial != path:
            self.system.move(partial, path)

    def exists(self, uri: str) -> bool:
        """Tells whether there is an object of that name, or below it."""
        return bool(self._files(uri))

    def digest(self, uri: str) -> str:
        """Gives what `components.files.digests.digest_folder` gives of a copy of all objects below the URI."""
        return combine({name: self._digest(path) for name, path in self._files(uri).items()})

    def _digest(self, path: str) -> str:
        digest = hashlib.sha256()
        with self.system.open_input_stream(path) as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def open_store(root: str, scheme: str = "gs") -> Store:
    """Opens a folder, which stands for a bucket, or `s3://bucket/prefix`.

    Args:
        root: as the user gave it.
        scheme: of the URIs where the root is a folder.

    Raises:
        InputError: another scheme, or no way to it.
    """
    if root.startswith("s3://"):
        return _open_bucket(root.rstrip("/"))
    if is_remote(root):
        raise InputError(f"--root: expected a folder or s3://BUCKET/PREFIX, found {root}.")
    return Store(f"{scheme}://{LOCAL_BUCKET}", LocalFileSystem(), str(Path(root).resolve()))


def _open_bucket(root: str) -> Store:
    place = root.removeprefix("s3://")
    bucket = place.partition("/")[0]
    try:
        system = connect_to_bucket("s3", bucket)
        if system.get_file_info(bucket).type == FileType.NotFound:
            raise OSError("there is no such bucket")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--root: cannot use the bucket {bucket}: {first_line(error)}\n"
            "Check AWS_ENDPOINT_URL, the credentials, and that the bucket exists."
        ) from error
    return Store(root, system, place)
