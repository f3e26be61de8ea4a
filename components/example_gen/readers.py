"""The bytes of one source: a file, a member of an archive, or a record. No declared size is trusted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from components.example_gen import remote

if TYPE_CHECKING:
    from components.example_gen.listing import Source

NOT_REGULAR = "a pipe, a socket or a device"
MEMBER = "\0"  # between an archive's path and a member's name: no file system has it in a name
OPEN_STREAMS = 4  # that a thread keeps
PACKINGS: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
}
DAMAGE = (  # what Python's unpackers raise on broken content, besides OSError
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


class TooLarge(Unreadable):
    """A source has more bytes than allowed; it was not read."""


def read_source(source: Source, max_bytes: int) -> bytes:
    """The bytes of one source.

    Args:
        source: where it is; a problem that listing found is not looked at.
        max_bytes: at most so many are read, whatever sizes the file or archive declares.

    Raises:
        TooLarge: it has more bytes.
        Unreadable: it cannot be read.
    """
    try:
        content = READERS[source.kind](source, max_bytes)
    except Unreadable:
        raise
    except (OSError, *DAMAGE) as error:
        raise Unreadable(describe_error(error)) from error
    if len(content) > max_bytes:
        raise _too_large(f"more than {max_bytes:,}", max_bytes)
    return content


def describe_error(error: Exception) -> str:
    """What is wrong, in words and without the path."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else remote.one_line(error)


def _too_large(size: str, max_bytes: int) -> TooLarge:
    return TooLarge(f"{size} bytes, limit {max_bytes:,}")


def read_file(source: Source, max_bytes: int) -> bytes:
    """A whole file. What is no regular file is refused, and does not hold the run as a pipe could."""
    with open_binary(source.path) as file:
        return _read(file, _size_of(file), max_bytes)


def read_zip(source: Source, max_bytes: int) -> bytes:
    """The member of a zip archive with the index `position`."""
    archive = _open_zip(source.path)
    members = archive.infolist()
    if source.position >= len(members):
        raise Unreadable("the archive changed")
    info = members[source.position]
    if info.file_size > max_bytes:
        raise _too_large(f"{info.file_size:,}", max_bytes)
    with archive.open(info) as file:
        return _read(file, info.file_size, max_bytes)


def read_stream(source: Source, max_bytes: int) -> bytes:
    """`size` bytes from the offset `position` of an unpacked stream: a member of a tar archive, or of a record."""
    if source.size > max_bytes:
        raise _too_large(f"{source.size:,}", max_bytes)
    with _open_stream(source.path) as stream:
        stream.seek(source.position)
        content = stream.read(source.size)
    if len(content) < source.size:
        raise Unreadable(f"the file ends after {len(content):,} of {source.size:,} bytes")
    return content


READERS: dict[str, Callable[[Any, int], bytes]] = {
    "file": read_file,
    "zip": read_zip,
    "tar": read_stream,
    "tfrecord": read_stream,
}


def open_binary(path: str) -> IO[bytes]:
    """A file of any file system, for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket or a device.
    """
    if remote.is_remote(path):
        return remote.open_file(path)
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable(NOT_REGULAR)
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Without O_NONBLOCK, opening a pipe waits for one who writes."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def open_unpacked(path: str) -> IO[bytes]:
    """A file's content as a seekable stream, unpacked if it is gzip, bzip2 or xz by its first bytes.

    Args:
        path: a file, or a member of an archive as `member_path` gives it.
    """
    archive, _, place = path.partition(MEMBER)
    file = _open_member(archive, *place.split(":")) if place else open_binary(path)
    magic = file.read(6)
    file.seek(0)
    for start, (packing, unpack) in PACKINGS.items():
        if magic.startswith(start):
            return io.BufferedReader(_Unpacker(packing, unpack(file), file))
    return file


class _Unpacker(io.RawIOBase):
    """Gives what is unpacked so far, up to where a cut file ends, and closes the packed file with itself."""

    def __init__(self, packing: str, stream: Any, file: IO[bytes]) -> None:
        self.packing, self._stream, self._file = packing, stream, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read1(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        super().close()
        self._stream.close()
        self._file.close()


def packing_of(stream: IO[bytes]) -> str:
    """`gzip`, `bzip2`, `xz` or an empty string, of a stream of `open_unpacked`."""
    unpacker = getattr(stream, "raw", None)
    return unpacker.packing if isinstance(unpacker, _Unpacker) else ""


def member_path(source: Source) -> str:
    """What `open_unpacked` takes for a file or a member of an archive that holds several images."""
    if source.kind == "file":
        return source.path
    return f"{source.path}{MEMBER}{source.kind}:{source.position}:{source.size}"


def _open_member(archive: str, kind: str, position: str, size: str) -> IO[bytes]:
    if kind == "zip":
        zipped = _open_zip(archive)
        return zipped.open(zipped.infolist()[int(position)])
    info = tarfile.TarInfo()
    info.offset_data, info.size = int(position), int(size)
    file = tarfile.TarFile(fileobj=open_unpacked(archive)).extractfile(info)
    if file is None:
        raise Unreadable("the archive changed")
    return file


def _size_of(file: IO[bytes]) -> int:
    try:
        return os.fstat(file.fileno()).st_size
    except io.UnsupportedOperation:  # a remote one
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return size


def _read(file: IO[bytes], expected: int, max_bytes: int) -> bytes:
    """All bytes of a file, but at most one more than `max_bytes`; `expected` only saves memory."""
    if expected > max_bytes:
        raise _too_large(f"{expected:,}", max_bytes)
    content = file.read(expected + 1)
    if len(content) > expected:
        content += file.read(max_bytes + 1 - len(content))
    return content


_local = threading.local()
_zips: dict[tuple[int, str], tuple[Any, zipfile.ZipFile]] = {}
_zips_lock = threading.Lock()


@contextmanager
def _open_stream(path: str) -> Iterator[IO[bytes]]:
    """The thread's own stream: streams have a position, and going back in a packed one means starting anew."""
    key = (os.getpid(), path, _state(path))
    streams: dict[Any, IO[bytes]] = _local.__dict__.setdefault("streams", {})
    stream = streams.pop(key, None) or open_unpacked(path)
    yield stream
    streams[key] = stream  # not after an error: it may be anywhere
    while len(streams) > OPEN_STREAMS:
        streams.pop(next(iter(streams))).close()


def _open_zip(path: str) -> zipfile.ZipFile:
    """The process's own archive: threads may share it, and its list of members can be long."""
    key, state = (os.getpid(), path), _state(path)
    with _zips_lock:
        if key not in _zips or _zips[key][0] != state:
            _zips.clear()
            _zips[key] = (state, zipfile.ZipFile(open_binary(path)))
        return _zips[key][1]


def _state(path: str) -> Any:
    """What changes when a file is replaced; a remote file is taken to stay."""
    path = path.partition(MEMBER)[0]
    if remote.is_remote(path):
        return None
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns
