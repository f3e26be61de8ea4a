"""All members of a zip or tar archive: names and facts, nothing is unpacked to disk.

Formats: the zip specification (APPNOTE.TXT 4.3 to 4.5), POSIX pax and GNU tar as Python's `zipfile` and `tarfile` read
them. Every name and size comes from whoever made the archive: a member whose path leaves the archive is refused, and
sizes only count when a member is read (`readers.py`).
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from components.errors import InputError
from components.example_gen import remote
from components.example_gen.listing import Source, Tree
from components.example_gen.readers import DAMAGE, open_binary, open_unpacked, packing_of

LEAVES = "its path leaves the archive"
LINK = "a link inside an archive"
DEVICE = "a pipe or a device inside an archive"
ENCRYPTED = "encrypted"
SPARSE = "a sparse file inside an archive"
CUT = "the archive is damaged or cut off here; what follows is lost"
LARGEST_HEADER = 1 << 16  # bytes; of the names and attributes that precede a member of a tar archive
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
UTF8_NAME = 0x800  # flag of a zip member: its name is UTF-8
DAMAGES = (OSError, *DAMAGE)


def archive_kind(path: str) -> str:
    """`zip` or `tar` by the content, an empty string for any other file.

    Raises:
        OSError: the file cannot be read.
    """
    with open_binary(path) as file:
        if file.read(4) in ZIP_STARTS:
            return "zip"
    try:
        with open_unpacked(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        return "tar"
    except DAMAGES:
        pass
    with open_binary(path) as file:
        return "zip" if zipfile.is_zipfile(file) else ""


def walk_archive(path: str, kind: str) -> Tree:
    """All members of an archive of a kind that `archive_kind` gives.

    Raises:
        InputError: the archive cannot be listed at all.
    """
    try:
        with open_binary(path) as file:
            facts = _facts(file)
            return _walk_zip(path, file, facts) if kind == "zip" else _walk_tar(path, facts)
    except DAMAGES as error:
        raise InputError(
            f"data.path: {path} is a damaged {kind} archive: {remote.one_line(error)}.\n"
            "Expected a whole archive: fetch or make it again."
        ) from error


def _facts(file: IO[bytes]) -> dict[str, Any]:
    """Time and inode of an archive: they tell whether its members may have changed."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return {}
    return {"mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def _walk_zip(path: str, file: IO[bytes], facts: dict[str, Any]) -> Tree:
    tree = Tree(path, container="zip archive")
    with zipfile.ZipFile(file) as archive:
        for index, info in enumerate(archive.infolist()):
            source = Source(
                zip_name(info), "", path, "zip", index, size=info.file_size, problem=_zip_problem(info), **facts
            )
            _add(tree, source, info.is_dir())
    return tree


def zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name; where it is not declared as UTF-8 but is, as many tools write it, it is taken for that."""
    if info.flag_bits & UTF8_NAME:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except ValueError:
        return info.filename


def _zip_problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return ENCRYPTED
    return LINK if stat.S_ISLNK(info.external_attr >> 16) else ""


def _walk_tar(path: str, facts: dict[str, Any]) -> Tree:
    tree = Tree(path)
    with open_unpacked(path) as stream:
        tree.container = f"{packing_of(stream)} tar archive".lstrip()
        for info in _headers(stream):
            if info is None:
                tree.refused.append(Source("(the rest of the archive)", "", path, "tar", problem=CUT, **facts))
            else:
                place: dict[str, Any] = {"position": info.offset_data, "size": info.size}
                source = Source(info.name, "", path, "tar", problem=_tar_problem(info), **place, **facts)
                _add(tree, source, info.isdir())
    return tree


def _headers(stream: IO[bytes]) -> Iterator[tarfile.TarInfo | None]:
    """The headers of a tar archive in the order of storage; a last None where it does not end as it should."""
    archive = tarfile.TarFile(fileobj=_Headers(stream), encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    offset = -1
    try:
        while (info := archive.next()) is not None:
            if info.size < 0 or archive.offset <= offset:  # only a forged one: it would go round for ever
                break
            offset = archive.offset
            vars(archive)["members"] = []  # it would keep them all
            yield info
        stream.seek(archive.offset)
        whole = info is None and stream.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except DAMAGES:
        whole = False
    if not whole:
        yield None


class _Headers:
    """A stream for `tarfile` to list: a header cannot make it fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._stream.read(size)


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return LINK
    if not info.isfile():
        return "" if info.isdir() else DEVICE
    return SPARSE if info.issparse() else ""


def _add(tree: Tree, source: Source, is_folder: bool) -> None:
    """Puts a member into the tree, under its name made simple."""
    name = clean_name(source.name)
    if name is None or not (name or is_folder):
        tree.refused.append(replace(source, problem=LEAVES))
    elif not is_folder:
        tree.files.append(source if name == source.name else replace(source, name=name))
    elif name:
        tree.folders.append(name)


def clean_name(name: str) -> str | None:
    """A member's name as a relative POSIX path; None where it leaves the archive, or would on some system."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or "\\" in name or ".." in parts or re.match("[A-Za-z]:", name):
        return None
    return "/".join(parts)
