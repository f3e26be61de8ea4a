"""All members of a zip or tar archive: names and facts, nothing is unpacked to disk.

Formats: the zip specification (APPNOTE.TXT 4.3 to 4.6), POSIX pax and GNU tar as Python's `zipfile` and `tarfile` read
them. Every name and size comes from whoever made the archive: a member whose path leaves the archive is refused, and
sizes only count when a member is read (`readers.py`).
"""

from __future__ import annotations

import os
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import IO, Any

from components.errors import InputError
from components.sources.content import remote
from components.sources.content.packing import packing_of
from components.sources.content.streams import UNPACK_ERRORS, list_tar, list_zip, open_binary, open_unpacked
from components.sources.formats.links import LONGEST_PATH, Link, follow_links
from components.sources.listing import Source, Tree

LEAVES = "its path leaves the archive"
ENCRYPTED = "encrypted: unpack the archive with its password"
CUT = "the archive is damaged or cut off here; what follows is lost"
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
UTF8_NAME = 0x800  # flag of a zip member: its name is UTF-8
UNICODE_PATH = 0x7075  # extra field of a zip member: its name in UTF-8 (APPNOTE 4.6.9)
MOST_ZEROS = 1 << 20  # bytes after the end of a tar archive that are looked through for another one
READ_ERRORS = (OSError, *UNPACK_ERRORS)


def archive_kind(place: str) -> str:
    """Tells the kind of an archive by content, `zip` or `tar`; empty for any other file.

    Raises:
        OSError: the file cannot be read.
    """
    with open_binary(place) as file:
        if file.read(4) in ZIP_STARTS:
            return "zip"
    try:
        with open_unpacked(place) as stream:
            if is_tar(stream.read(tarfile.BLOCKSIZE)):
                return "tar"
    except READ_ERRORS:
        pass
    with open_binary(place) as file:
        return "zip" if zipfile.is_zipfile(file) else ""


def is_tar(block: bytes) -> bool:
    """Tells whether the first 512 bytes of a file are the header of a tar archive."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def walk_archive(place: str, kind: str, shown: str = "") -> Tree:
    """Lists all members of an archive.

    Args:
        place: a path, or that of a member of another archive.
        kind: as `archive_kind` gives it.
        shown: its name, for errors; empty: the path.

    Raises:
        InputError: the archive cannot be listed at all.
    """
    try:
        with open_binary(place) as file:
            facts = _facts(file)
            return _walk_zip(place, file, facts) if kind == "zip" else _walk_tar(place, facts)
    except READ_ERRORS as error:
        raise InputError(
            f"data.path: {shown or place} is a damaged {kind} archive: {remote.one_line(error)}.\n"
            "Expected a whole archive: fetch or make it again."
        ) from error


def _facts(file: IO[bytes]) -> dict[str, Any]:
    """Time and inode of an archive: they tell whether its members may have changed."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return {}
    return {"mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def _walk_zip(place: str, file: IO[bytes], facts: dict[str, Any]) -> Tree:
    tree, links = Tree(place, container="zip archive"), list[Link]()
    with list_zip(file) as archive:
        for index, info in enumerate(archive.infolist()):
            problem = ENCRYPTED if info.flag_bits & 1 else ""
            source = Source(zip_name(info), "", place, "zip", index, size=info.file_size, problem=problem, **facts)
            if stat.S_ISLNK(info.external_attr >> 16) and not problem:
                links += _as_link(tree, source, _link_target(archive, info))
            else:
                _add(tree, source, info.is_dir() or info.filename.endswith("\\"))
    follow_links(tree, links)
    return tree


def _link_target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """Reads the target of a link; empty where it cannot be read."""
    try:
        with archive.open(info) as member:
            return os.fsdecode(member.read(LONGEST_PATH))
    except READ_ERRORS:
        return ""


def zip_name(info: zipfile.ZipInfo) -> str:
    """Reads a member's name; one that is UTF-8 without saying so, as many tools write it, is taken as that."""
    if info.flag_bits & UTF8_NAME:
        return info.filename
    try:
        return _unicode_path(info.extra) or info.filename.encode("cp437").decode("utf-8")
    except ValueError:
        return info.filename


def _unicode_path(extra: bytes) -> str:
    """The name in a member's extra fields, where there is one: newer Pythons look there themselves."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == UNICODE_PATH and size > 5:
            return extra[9 : 4 + size].decode("utf-8")
        extra = extra[4 + size :]
    return ""


def _walk_tar(place: str, facts: dict[str, Any]) -> Tree:
    tree, links = Tree(place), list[Link]()
    with open_unpacked(place) as stream:
        tree.container = f"{packing_of(stream)} tar archive".lstrip()
        for info in _headers(stream):
            if info is None:
                tree.refused.append(Source("(the rest of the archive)", "", place, "tar", problem=CUT, **facts))
                continue
            source = _tar_source(info, place, facts)
            if info.issym() or info.islnk():
                links += _as_link(tree, source, info.linkname, info.islnk())
            elif info.isdir() or info.isfile():
                _add(tree, source, info.isdir())
            else:
                tree.ignored.append((info.name, "special"))
    follow_links(tree, links)
    return tree


def _tar_source(info: tarfile.TarInfo, place: str, facts: dict[str, Any]) -> Source:
    if info.issparse():
        return Source(info.name, "", place, "sparse", info.offset, size=info.size, **facts)
    return Source(info.name, "", place, "tar", info.offset_data, size=info.size, **facts)


def _headers(stream: IO[bytes]) -> Iterator[tarfile.TarInfo | None]:
    """The headers of a tar archive in the order of storage; a last None where it does not end as it should.

    Archives that were put one after the other are one, as for `tar --ignore-zeros`.
    """
    try:
        while True:
            offset = yield from _headers_of_one(list_tar(stream))
            stream.seek(offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                break
            next_start = _skip_zeros(stream, offset)
            if next_start is None:
                return
            stream.seek(next_start)
    except READ_ERRORS:
        pass
    yield None


def _headers_of_one(archive: tarfile.TarFile) -> Generator[tarfile.TarInfo, None, int]:
    """The headers up to the end of an archive; gives where that is."""
    offset = -1
    while (info := archive.next()) is not None:
        if info.size < 0 or archive.offset <= offset:  # only a forged one: it would go round for ever
            raise tarfile.ReadError("a forged size")
        offset = archive.offset
        vars(archive)["members"] = []  # it would keep them all
        yield info
    return archive.offset


def _skip_zeros(stream: IO[bytes], offset: int) -> int | None:
    """Finds where another archive begins after the zeros that end the first; None: there is none."""
    for place in range(offset + tarfile.BLOCKSIZE, offset + MOST_ZEROS, tarfile.BLOCKSIZE):
        block = stream.read(tarfile.BLOCKSIZE)
        if block != bytes(tarfile.BLOCKSIZE):
            return place if is_tar(block) else None
    return None


def _as_link(tree: Tree, source: Source, target: str, is_hard: bool = False) -> list[Link]:
    """The link, under its name made simple; none where that leaves the archive."""
    name = clean_name(source.name)
    if name:
        return [Link(replace(source, name=name), target, is_hard)]
    tree.refused.append(replace(source, problem=LEAVES))
    return []


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
    """Makes a member's name a relative POSIX path; None where it leaves the archive, or would on some system.

    A backslash separates as a slash does: that is how Windows' own tools write zip archives.
    """
    name = name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
        return None
    return "/".join(parts)
