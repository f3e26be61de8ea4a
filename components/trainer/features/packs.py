"""One pack of kept features: a file of digests, checksums and vectors that is written once and never changed.

    magic | length of the header, uint32 | crc32c of header and table, uint32
    header: JSON {"count", "width", "dtype", "block"}
    table: count x 32 bytes, sha256 of each image
           a row a block of vectors: crc32c of its bytes, how many they are, how many when unpacked, uint32 each
    blocks: of "block" vectors each, fewer in the last

The table can be read without the vectors, so looking up a million images reads 32 MB.

A block is Zstandard over two parts: a bit a value, whether any of its own bits is set; then the values that have one,
all their first bytes, all their second bytes, and so on. Behind a ReLU every third value is zero, and the bytes with
the exponents are alike: 1,280 features of MobileNetV2 take 2.8 kB instead of 5.1, to the bit what they were.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
import pyarrow as pa

FORMAT = 2  # part of the store's keys: what an older Graft kept is neither read nor touched
MAGIC = b"GRAFTPK2"
BLOCK = 256  # vectors that are packed, and damaged, together
PREFIX = struct.Struct("<8sII")
DIGEST = np.dtype("S32")  # raw sha256; NumPy drops zero bytes at the end when it shows one, not when it compares
BLOCK_ROW = np.dtype([("checksum", "<u4"), ("packed", "<u4"), ("raw", "<u4")])
FeatureDtype = Literal["float32", "float16"]
DTYPES: dict[str, np.dtype] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class BadPack(ValueError):
    """A pack that must not be trusted; the message says what is wrong with it."""


@dataclass(frozen=True)
class PackTable:
    """What a pack holds.

    Attributes:
        digests: S32 [n], raw sha256.
        blocks: `BLOCK_ROW` [ceil(n / block)].
        block: vectors a block.
        width: values a vector.
        dtype: of the values.
        start: offset of the first block, in bytes.
    """

    digests: np.ndarray
    blocks: np.ndarray
    block: int
    width: int
    dtype: np.dtype
    start: int


def encode_pack(digests: np.ndarray, values: np.ndarray, block: int = BLOCK) -> bytes:
    """The bytes of a pack.

    Args:
        digests: S32 [n].
        values: float32 or float16 [n, d].
        block: vectors that are packed together.
    """
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    facts = {"count": len(values), "width": int(values.shape[1]), "dtype": values.dtype.name, "block": block}
    header = json.dumps(facts, sort_keys=True).encode()
    rows, blocks = [], []
    for start in range(0, len(values), block):
        packed, raw = encode_block(values[start : start + block])
        rows.append((google_crc32c.value(packed), len(packed), raw))
        blocks.append(packed)
    table = header + digests.astype(DIGEST).tobytes() + np.array(rows, BLOCK_ROW).tobytes()
    return b"".join([PREFIX.pack(MAGIC, len(header), google_crc32c.value(table)), table, *blocks])


def encode_block(values: np.ndarray) -> tuple[bytes, int]:
    """The bytes of a block of vectors [k, d], little-endian, and how many they are when unpacked."""
    bits = values.view(f"<u{values.itemsize}")
    any_bit = bits != 0  # of minus zero, too
    planes = bits[any_bit].view(np.uint8).reshape(-1, values.itemsize).T
    raw = np.packbits(any_bit).tobytes() + planes.tobytes()
    return pa.Codec("zstd", compression_level=1).compress(raw, asbytes=True), len(raw)


def decode_block(packed: bytes, raw_size: int, count: int, width: int, dtype: np.dtype) -> np.ndarray:
    """The vectors of a block, [count, width].

    Raises:
        ValueError, OSError: the bytes are of no such block.
    """
    raw = np.frombuffer(pa.Codec("zstd").decompress(packed, raw_size, asbytes=True), np.uint8)
    bitmap = -(-count * width // 8)
    any_bit = np.unpackbits(raw[:bitmap], count=count * width).astype(bool)
    bits = np.zeros(count * width, f"<u{dtype.itemsize}")
    bits[any_bit] = np.ascontiguousarray(raw[bitmap:].reshape(dtype.itemsize, -1).T).view(bits.dtype).ravel()
    return bits.view(dtype).reshape(count, width)


def read_table(read: Callable[[int], bytes], size: int) -> PackTable:
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
    count, width, dtype, block = _parse_header(header)
    block_count = -(-count // block)
    table_size = count * DIGEST.itemsize + block_count * BLOCK_ROW.itemsize
    start = PREFIX.size + header_size + table_size
    if size < start:
        raise BadPack(f"expected more than {start:,} bytes, found {size:,}")
    table = read(table_size)
    if google_crc32c.value(header + table) != checksum:
        raise BadPack("wrong checksum of its table")
    digests = np.frombuffer(table, DIGEST, count)
    blocks = np.frombuffer(table, BLOCK_ROW, block_count, digests.nbytes)
    expected = start + int(blocks["packed"].sum(dtype=np.int64))
    if size != expected:
        raise BadPack(f"expected {expected:,} bytes, found {size:,}")
    return PackTable(digests, blocks, block, width, dtype, start)


def _parse_header(header: bytes) -> tuple[int, int, np.dtype, int]:
    try:
        facts: dict[str, Any] = json.loads(header)
        count, width, block = int(facts["count"]), int(facts["width"]), int(facts["block"])
        dtype = DTYPES[facts["dtype"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadPack("a header that cannot be read") from error
    if count < 0 or width < 1 or block < 1:
        raise BadPack("a header that makes no sense")
    return count, width, dtype, block


def check_vectors(table: PackTable, body: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a pack, and which of them are what was written; a damaged block takes all of its own along.

    Args:
        table: of the pack.
        body: what follows the table.

    Returns:
        [n, d] in the pack's dtype, and bool [n]; the rows of a damaged block are zeros.

    Raises:
        BadPack: vectors are missing at the end.
    """
    count = len(table.digests)
    if len(body) != int(table.blocks["packed"].sum(dtype=np.int64)):
        raise BadPack("vectors are missing")
    values, good = np.zeros((count, table.width), table.dtype), np.zeros(count, bool)
    place = 0
    for number, (checksum, size, raw_size) in enumerate(table.blocks.tolist()):
        packed, place = body[place : place + size], place + size
        rows = slice(number * table.block, min((number + 1) * table.block, count))
        if google_crc32c.value(packed) == checksum:
            values[rows] = decode_block(packed, raw_size, rows.stop - rows.start, table.width, table.dtype)
            good[rows] = True
    return values, good
