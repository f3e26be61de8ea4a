"""The bytes of one source: a file, a member of an archive, or a record. No declared size is trusted."""

from __future__ import annotations

import io
import os
from typing import IO

from components.sources.content import remote
from components.sources.content.streams import UNPACK_ERRORS, Unreadable, list_tar, open_binary, open_stream, open_zip
from components.sources.listing import Reader, Source


class TooLarge(Unreadable):
    """A source has more bytes than allowed; it was not read."""


def read_stored(source: Source, max_bytes: int) -> bytes:
    """Reads the bytes of a file, or of a member of an archive; raises as `read_with`."""
    return read_with(STORED[source.kind], source, max_bytes)


def read_with(reader: Reader, source: Source, max_bytes: int) -> bytes:
    """Reads the bytes of one source.

    Args:
        reader: of the source's kind.
        source: where it is; a problem that listing found is not looked at.
        max_bytes: at most so many are read, whatever sizes the file or archive declares.

    Raises:
        TooLarge: it has more bytes.
        Unreadable: it cannot be read.
    """
    try:
        content = reader(source, max_bytes)
    except Unreadable:
        raise
    except (OSError, *UNPACK_ERRORS) as error:
        raise Unreadable(describe_error(error)) from error
    if len(content) > max_bytes:
        raise _too_large(f"more than {max_bytes:,}", max_bytes)
    return content


def describe_error(error: Exception) -> str:
    """Describes an error in words, without the path."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else remote.one_line(error)


def _too_large(size: str, max_bytes: int) -> TooLarge:
    return TooLarge(f"{size} bytes, limit {max_bytes:,}")


def read_file(source: Source, max_bytes: int) -> bytes:
    """Reads a whole file. Pipes and devices are refused, and do not hold the run."""
    with open_binary(source.path) as file:
        return _read(file, _size_of(file), max_bytes)


def read_zip(source: Source, max_bytes: int) -> bytes:
    """Reads the member of a zip archive with the index `position`."""
    archive = open_zip(source.path)
    members = archive.infolist()
    if source.position >= len(members):
        raise Unreadable("the archive changed")
    info = members[source.position]
    if info.file_size > max_bytes:
        raise _too_large(f"{info.file_size:,}", max_bytes)
    with archive.open(info) as file:
        return _read(file, info.file_size, max_bytes)


def read_stream(source: Source, max_bytes: int) -> bytes:
    """Reads `size` bytes from the offset `position` of an unpacked stream: of a tar archive, or of records."""
    if source.size > max_bytes:
        raise _too_large(f"{source.size:,}", max_bytes)
    with open_stream(source.path) as stream:
        stream.seek(source.position)
        content = stream.read(source.size)
    if len(content) < source.size:
        raise Unreadable(f"the file ends after {len(content):,} of {source.size:,} bytes")
    return content


def read_sparse(source: Source, max_bytes: int) -> bytes:
    """Reads a file in a tar archive that was stored without its holes; `position` is that of its header."""
    if source.size > max_bytes:
        raise _too_large(f"{source.size:,}", max_bytes)
    with open_stream(source.path) as stream:
        stream.seek(source.position)
        archive = list_tar(stream)
        archive.fileobj = stream
        member = archive.next()
        file = archive.extractfile(member) if member else None
        if file is None:
            raise Unreadable("the archive changed")
        return file.read(max_bytes + 1)


STORED: dict[str, Reader] = {  # what folders and archives store as it is
    "file": read_file,
    "zip": read_zip,
    "tar": read_stream,
    "sparse": read_sparse,
}


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
