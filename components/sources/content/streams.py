"""Files as seekable streams: plain, packed, remote, or inside one another; nothing is unpacked to disk.

A place is a path, or what `member_path` gives for a file inside an archive: the archive's place and, after a zero byte,
where in it. A member that is stored as it is is a window on its archive; a packed one is unpacked as it is read, anew
where the reader goes back. What a file declares of its size allots no memory.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from components.files.paths import is_remote
from components.sources.content import remote
from components.sources.content.packing import part_of, unpack_file
from components.sources.listing import Source

NOT_REGULAR = "a pipe, a socket or a device"
MEMBER = "\0"  # between an archive's path and a member's place: no file system has it in a name
OPEN_STREAMS = 4  # that a thread keeps
OPEN_ZIPS, OPEN_MEMBERS = 64, 500_000  # that a process keeps, of all its zip archives
LARGEST_DIRECTORY = 1 << 26  # bytes; of the list of members in a zip archive inside another archive
LARGEST_HEADER = 1 << 16  # bytes; of the names and attributes that precede a member of a tar archive
LOCAL_HEADER = struct.Struct("<26xHH")  # before a member of a zip archive; the lengths of name and extra field
UNPACK_ERRORS = (  # what Python's unpackers raise on broken content, besides OSError
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class Unreadable(OSError):
    """A source cannot be read; the text is the detail for the ledger."""


def open_binary(place: str) -> IO[bytes]:
    """Opens a file of any file system, or a member of an archive, for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket or a device.
    """
    archive, _, member = place.rpartition(MEMBER)
    if archive:
        return _open_member(archive, *member.split(":"))
    if is_remote(place):
        return remote.open_file(place)
    file = open(place, "rb", opener=_open_at_once)  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable(NOT_REGULAR)
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Without O_NONBLOCK, opening a pipe waits for one who writes."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def open_unpacked(place: str) -> IO[bytes]:
    """Opens the content of a file as a seekable stream, unpacked if it is packed."""
    return unpack_file(open_binary(place))


def member_path(source: Source) -> str:
    """Returns the place of a file or a member of an archive that holds several images."""
    if source.kind == "file":
        return source.path
    return f"{source.path}{MEMBER}{source.kind}:{source.position}:{source.size}"


def _open_member(archive: str, kind: str, position: str, size: str) -> IO[bytes]:
    if kind != "zip":
        return part_of(open_unpacked(archive), int(position), int(size))
    zipped = open_zip(archive)
    members = zipped.infolist()
    if int(position) >= len(members):
        raise Unreadable("the archive changed")
    info = members[int(position)]
    member = zipped.open(info)  # looks at the member's own header
    if info.compress_type != zipfile.ZIP_STORED:
        return member
    member.close()
    file = open_binary(archive)
    file.seek(info.header_offset)
    header = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return part_of(file, info.header_offset + LOCAL_HEADER.size + sum(header), info.file_size)


class _Bounded:
    """A stream for `zipfile` or `tarfile` to list: no header, nor a list of members, can make them fill the memory."""

    def __init__(self, stream: IO[bytes], largest: int, error: type[Exception]) -> None:
        self._stream, self._largest, self._error = stream, largest, error
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(self._largest + 1 if size < 0 else min(size, self._largest))
        if max(size, len(content)) > self._largest:
            raise self._error(f"a header of more than {self._largest:,} bytes")
        return content


def list_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """Opens a zip archive and reads its list of members, bounded where the archive is inside another one."""
    try:
        file.fileno()
    except OSError:
        archive = zipfile.ZipFile(_Bounded(file, LARGEST_DIRECTORY, zipfile.BadZipFile))
        archive.fp = file
        return archive
    return zipfile.ZipFile(file)


def list_tar(stream: IO[bytes]) -> tarfile.TarFile:
    """Opens a tar archive at the stream's position, its first header read."""
    bounded = _Bounded(stream, LARGEST_HEADER, tarfile.ReadError)
    return tarfile.TarFile(fileobj=bounded, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]


_local = threading.local()
_zips: dict[tuple[int, str], tuple[Any, zipfile.ZipFile]] = {}
_zips_lock = threading.Lock()


@contextmanager
def open_stream(place: str) -> Iterator[IO[bytes]]:
    """Opens the thread's own stream: it has a position, and going back in a packed one means starting anew."""
    key = (os.getpid(), place, _state(place))
    streams: dict[Any, IO[bytes]] = _local.__dict__.setdefault("streams", {})
    stream = streams.pop(key, None) or open_unpacked(place)
    yield stream
    streams[key] = stream  # not after an error: it may be anywhere
    while len(streams) > OPEN_STREAMS:
        streams.pop(next(iter(streams))).close()


def open_zip(place: str) -> zipfile.ZipFile:
    """Opens the process's own archive: threads may share it, and its list of members can be long.

    One that is inside another archive is the thread's own, as its stream is.
    """
    if MEMBER in place:
        return _keep(_local.__dict__.setdefault("zips", {}), place, OPEN_STREAMS)
    with _zips_lock:
        return _keep(_zips, place, OPEN_ZIPS)


def _keep(zips: dict[tuple[int, str], tuple[Any, zipfile.ZipFile]], place: str, most: int) -> zipfile.ZipFile:
    """An archive that is open already, or is opened; those that were used longest ago are let go."""
    key, state = (os.getpid(), place), _state(place)
    kept = zips.pop(key, None)
    if kept is None or kept[0] != state:
        kept = (state, list_zip(open_binary(place)))
    zips[key] = kept
    while len(zips) > 1 and (len(zips) > most or sum(len(one.filelist) for _, one in zips.values()) > OPEN_MEMBERS):
        zips.pop(next(iter(zips)))
    return kept[1]


def _state(place: str) -> Any:
    """Returns what changes when a file is replaced; a remote file is taken to stay."""
    path = place.partition(MEMBER)[0]
    if is_remote(path):
        return None
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns
