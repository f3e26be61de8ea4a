"""One pack of kept features: a Parquet file that is written once, never changed, and named after its checksum.

    sha256   raw sha256 of an image, 32 bytes
    nonzero  a bit a value of its vector: whether it stands in `values`
    values   those that are not 0.0, float32

Behind a ReLU every third value is zero, and split into streams the bytes with the exponents are alike: 1,280 features
of MobileNetV2 take 2.8 kB instead of 5.1, to the bit what they were. Vectors in half precision are kept as float32 of
which Zstandard packs the empty bits.
"""

from __future__ import annotations

import io
from typing import Literal

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DIGEST = np.dtype("S32")  # raw sha256; NumPy drops zero bytes at the end when it shows one, not when it compares
ROWS = 1024  # that are packed and unpacked at once: what a pack takes of memory beside its vectors
FeatureDtype = Literal["float32", "float16"]


class BadPack(ValueError):
    """A pack that must not be trusted; the message says what is wrong with it."""


class PackEncoder:
    """Packs vectors as they come: beside what is packed already, `ROWS` of them are held."""

    def __init__(self, width: int) -> None:
        """Begins a pack of vectors of so many values."""
        kinds = {"sha256": pa.binary(DIGEST.itemsize), "nonzero": pa.binary(-(-width // 8))}
        schema = pa.schema({**kinds, "values": pa.list_(pa.float32())}, metadata={"width": str(width)})
        self._buffer, self._held, self._rows = io.BytesIO(), list[tuple[np.ndarray, np.ndarray]](), 0
        self._writer = pq.ParquetWriter(
            self._buffer,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
            use_byte_stream_split=["values.list.element"],
            use_compliant_nested_type=True,  # else pyarrow 10 calls the column values.list.item
        )

    def add(self, digests: np.ndarray, values: np.ndarray) -> None:
        """Takes digests, S32 [n], and vectors, float [n, d]."""
        for start in range(0, len(digests), ROWS):
            part = slice(start, start + ROWS)
            self._held.append((digests[part], values[part]))
            self._rows += len(digests[part])
            if self._rows >= ROWS:
                self._write()

    def finish(self) -> bytes:
        """Ends the pack; gives the bytes of its file."""
        if self._rows:
            self._write()
        self._writer.close()
        return self._buffer.getvalue()

    def _write(self) -> None:
        """Writes a group of `ROWS` vectors, or of all that are held; holds what is left."""
        digests, values = (np.concatenate(column) for column in zip(*self._held, strict=True))
        rest = digests[ROWS:].copy(), values[ROWS:].copy()
        self._held, self._rows = [rest] if len(rest[0]) else [], len(rest[0])
        values = np.ascontiguousarray(values[:ROWS], np.float32)
        nonzero = values.view(np.uint32) != 0  # true of minus zero, too
        nonzero[:, 0] |= ~nonzero.any(axis=1)  # pyarrow 10 cannot read empty lists whose bytes are split into streams
        ends = np.append(0, np.cumsum(nonzero.sum(axis=1))).astype(np.int32)
        columns = [
            _fixed_size(digests[:ROWS].astype(DIGEST)),
            _fixed_size(np.packbits(nonzero, axis=1)),
            pa.ListArray.from_arrays(ends, values[nonzero]),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._writer.schema), row_group_size=ROWS)


def _fixed_size(rows: np.ndarray) -> pa.Array:
    kind = pa.binary(rows.nbytes // len(rows))
    return pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])


class Pack:
    """The content of a pack that is as it was written.

    Attributes:
        digests: S32 [n], raw sha256 of the images.
        width: values a vector.
    """

    def __init__(self, content: bytes, checksum: str) -> None:
        """Opens a pack; its vectors are unpacked when they are asked for.

        Raises:
            BadPack: the content has another CRC32C than its name says, or is no pack.
        """
        if checksum_of(content) != checksum:  # the only guard: pyarrow 10 writes no checksums of pages
            raise BadPack(f"a wrong checksum of its {len(content):,} bytes")
        try:
            self._file = pq.ParquetFile(pa.BufferReader(content))
            self.width = int((self._file.metadata.metadata or {})[b"width"])
            groups = range(self._file.num_row_groups)
            self.digests = np.concatenate([self._bytes(group, "sha256") for group in groups]).view(DIGEST).ravel()
        except (pa.ArrowException, KeyError) as error:
            raise BadPack("not a pack of features") from error

    def _column(self, group: int, name: str) -> pa.Array:
        return self._file.read_row_group(group, [name], use_threads=False)[name].chunk(0)

    def _bytes(self, group: int, name: str) -> np.ndarray:
        """Reads a group's column of values of a fixed size, uint8 [rows, size]."""
        column = self._column(group, name)
        size = column.type.byte_width
        return np.frombuffer(column.buffers()[1], np.uint8, len(column) * size).reshape(-1, size)

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Finds the row of each digest, or -1; `digests` are sorted."""
        by_digest = np.argsort(self.digests, kind="stable")
        mine = self.digests[by_digest]
        places = np.minimum(np.searchsorted(mine, digests), max(len(mine) - 1, 0))
        return np.where(mine[places] == digests, by_digest[places], -1) if len(mine) else np.full(len(digests), -1)

    def vectors(self) -> np.ndarray:
        """Unpacks all vectors, float32 [n, d]."""
        values = np.zeros([len(self.digests), self.width], np.float32)
        for group, start in enumerate(range(0, len(values), ROWS)):
            nonzero = np.unpackbits(self._bytes(group, "nonzero"), axis=1, count=self.width).view(bool)
            values[start : start + ROWS][nonzero] = self._column(group, "values").flatten().to_numpy()
        return values


def checksum_of(content: bytes) -> str:
    """Computes the CRC32C of a pack, as it stands at the end of its name."""
    return f"{google_crc32c.value(content):08x}"
