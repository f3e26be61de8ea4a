"""One pack of kept features: a file of digests, checksums and vectors that is written once and never changed.

    magic | length of the header, uint32 | crc32c of header and table, uint32
    header: JSON {"count", "width", "dtype"}
    table: count x 32 bytes, sha256 of each image; count x uint32, crc32c of each vector
    vectors: count x width, little-endian

The table can be read without the vectors, so looking up a million images reads 36 MB.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np

MAGIC = b"GRAFTPK1"
PREFIX = struct.Struct("<8sII")
DIGEST = np.dtype("S32")  # raw sha256; NumPy drops zero bytes at the end when it shows one, not when it compares
CHECKSUM = np.dtype("<u4")
FeatureDtype = Literal["float32", "float16"]
DTYPES: dict[str, np.dtype] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class BadPack(ValueError):
    """A pack that must not be trusted; the message says what is wrong with it."""


@dataclass(frozen=True)
class Table:
    """What a pack holds.

    Attributes:
        digests: S32 [n], raw sha256.
        checksums: uint32 [n], crc32c over the bytes of each vector.
        width: values a vector.
        dtype: of the values.
        start: offset of the first vector, in bytes.
    """

    digests: np.ndarray
    checksums: np.ndarray
    width: int
    dtype: np.dtype
    start: int


def encode_pack(digests: np.ndarray, values: np.ndarray) -> bytes:
    """The bytes of a pack.

    Args:
        digests: S32 [n].
        values: float32 or float16 [n, d].
    """
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    facts = {"count": len(values), "width": int(values.shape[1]), "dtype": values.dtype.name}
    header = json.dumps(facts, sort_keys=True).encode()
    table = header + digests.astype(DIGEST).tobytes() + _checksums(values).tobytes()
    return PREFIX.pack(MAGIC, len(header), google_crc32c.value(table)) + table + values.tobytes()


def read_table(read: Callable[[int], bytes], size: int) -> Table:
    """The table of a pack.

    Args:
        read: gives the next n bytes of the file.
        size: of the file, in bytes.

    Raises:
        BadPack: cut off, not a pack, or a wrong checksum.
    """
    prefix = read(PREFIX.size)
    if len(prefix) != PREFIX.size:
        raise BadPack(f"only {size} bytes")
    magic, header_size, checksum = PREFIX.unpack(prefix)
    if magic != MAGIC or header_size > 1 << 16:
        raise BadPack("not a pack of features")
    header = read(header_size)
    count, width, dtype = _parse_header(header)
    table_size = count * (DIGEST.itemsize + CHECKSUM.itemsize)
    start = PREFIX.size + header_size + table_size
    expected = start + count * width * dtype.itemsize
    if size != expected:
        raise BadPack(f"expected {expected:,} bytes, found {size:,}")
    table = read(table_size)
    if google_crc32c.value(header + table) != checksum:
        raise BadPack("wrong checksum of its table")
    digests = np.frombuffer(table, DIGEST, count)
    return Table(digests, np.frombuffer(table, CHECKSUM, count, digests.nbytes), width, dtype, start)


def _parse_header(header: bytes) -> tuple[int, int, np.dtype]:
    try:
        facts: dict[str, Any] = json.loads(header)
        count, width, dtype = int(facts["count"]), int(facts["width"]), DTYPES[facts["dtype"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadPack("a header that cannot be read") from error
    if count < 0 or width < 1:
        raise BadPack("a header that makes no sense")
    return count, width, dtype


def check_vectors(table: Table, body: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a pack, and which of them are what was written.

    Args:
        table: of the pack.
        body: what follows the table.

    Returns:
        [n, d] in the pack's dtype, and bool [n].

    Raises:
        BadPack: vectors are missing at the end.
    """
    count = len(table.digests)
    if len(body) != count * table.width * table.dtype.itemsize:
        raise BadPack("vectors are missing")
    values = np.frombuffer(body, table.dtype).reshape(count, table.width)
    return values, _checksums(values) == table.checksums


def _checksums(values: np.ndarray) -> np.ndarray:
    step, body = values.shape[1] * values.itemsize, values.tobytes()
    sums = (google_crc32c.value(body[start : start + step]) for start in range(0, len(body), step))
    return np.fromiter(sums, CHECKSUM, len(values))
