"""Packed files, and parts of files, as seekable streams; a packed one is unpacked anew where the reader goes back.

The header of a TFRecord is read here too, since the length in it may look like the start of a packed file. Framing:
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import IO, Any

import google_crc32c

HEADER = struct.Struct("<QI")  # length of the data, and the masked checksum of these 8 bytes
CHECKSUM = struct.Struct("<I")


def mask_checksum(data: bytes) -> int:
    """Computes CRC-32C of the data, 0..2**32-1, masked as TFRecords have it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def length_of(header: bytes) -> int | None:
    """Reads the length, in bytes, from the 12 bytes of a header; None where they are no header."""
    if len(header) < HEADER.size:
        return None
    length, checksum = HEADER.unpack_from(header)
    return length if checksum == mask_checksum(header[:8]) else None


READ_BYTES = 1 << 16  # bytes


class _Seekable(io.RawIOBase):
    """Base of the streams here: they are read, and keep their place."""

    _place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place


class _Zlib(_Seekable):
    """A zlib stream (RFC 1950), unpacked: TensorFlow's other way to pack records."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start()

    def _start(self) -> None:
        self._file.seek(0)
        self._place, self._zlib = 0, zlib.decompressobj()

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._file.read(READ_BYTES)
            content = self._zlib.decompress(packed, len(buffer))
            if not packed and not content:
                raise EOFError("the zlib stream ends early")
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("seeking from the end")
        if offset < self._place:
            self._start()
        while self._place < offset and self.read(min(READ_BYTES, offset - self._place)):
            pass
        return self._place


def _open_zlib(file: IO[bytes]) -> Any:
    return io.BufferedReader(_Zlib(file))


PACKINGS: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
    b"x\x01": ("zlib", _open_zlib),
    b"x\x5e": ("zlib", _open_zlib),
    b"x\x9c": ("zlib", _open_zlib),
    b"x\xda": ("zlib", _open_zlib),
}


def unpack_file(file: IO[bytes]) -> IO[bytes]:
    """Opens the content of a file, unpacked if it is gzip, bzip2, xz or zlib by its first bytes.

    The length of a record may look like the start of any of them, so its checksum is asked first.
    """
    head = file.read(HEADER.size)
    file.seek(0)
    for start, (packing, unpack) in PACKINGS.items():
        if head.startswith(start) and length_of(head) is None:
            return io.BufferedReader(_Unpacker(packing, unpack(file), file))
    return file


class _Unpacker(_Seekable):
    """Reads unpacked content, up to where a cut file ends, and closes the packed file with itself."""

    def __init__(self, packing: str, stream: Any, file: IO[bytes]) -> None:
        self.packing, self._stream, self._file = packing, stream, file

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


def part_of(file: IO[bytes], start: int, size: int) -> IO[bytes]:
    """Opens `size` bytes of a file from `start` on as a file of its own, which closes the other with itself."""
    return io.BufferedReader(_Window(file, start, size))


class _Window(_Seekable):
    """A part of a file as a file of its own; closes the file with itself."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence] + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._place)
        content = self._file.read(max(0, min(len(buffer), self._size - self._place)))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        super().close()
        self._file.close()


def packing_of(stream: IO[bytes]) -> str:
    """Names the packing of a stream of `unpack_file`: `gzip`, `bzip2`, `xz`, `zlib` or empty."""
    unpacker = getattr(stream, "raw", None)
    return unpacker.packing if isinstance(unpacker, _Unpacker) else ""
