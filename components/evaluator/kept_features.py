"""The candidate's features of the eval images, which its one pass over them gives beside its answers.

Each batch is written as a part of its own, named by its images, so that a batch that Beam tries again changes nothing;
then the parts become one file of the evaluation:

    features.parquet    sha256: of the image's source file, 32 bytes; values: its features, float32 [d]
"""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import features
from components.evaluator.parts import opened_writer, read_parts, write_part
from components.files.paths import exists, is_remote, read_bytes, remove_folder

PARTS = "features.parts"  # a folder of the evaluation while it runs
DIGEST = np.dtype("S32")  # raw sha256
SCHEMA = pa.schema([("sha256", pa.binary(32)), ("values", pa.list_(pa.float32()))])
SETTINGS = {"compression": "zstd", "compression_level": 1, "use_dictionary": False, "write_statistics": False}
SETTINGS |= {"use_byte_stream_split": ["values.list.element"], "use_compliant_nested_type": True}  # as kept packs


@dataclass(frozen=True)
class FeatureKeeper:
    """Writes features while a model is asked, in whatever process that is.

    Attributes:
        folder: of the evaluation.
    """

    folder: str

    def keep(self, records: np.ndarray, values: np.ndarray) -> None:
        """Writes the part of a batch.

        Args:
            records: serialized tf.Examples, bytes [n], n > 0.
            values: float32 [n, d], their features.
        """
        import tensorflow as tf

        wanted = {features.SHA256: tf.io.FixedLenFeature([], tf.string)}
        named = tf.io.parse_example(records, wanted)[features.SHA256].numpy()
        digests = [bytes.fromhex(name.decode()) for name in named]
        ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        columns = [pa.array(digests, pa.binary(32)), pa.ListArray.from_arrays(ends, values.ravel())]
        name = hashlib.sha256(b"".join(digests)).hexdigest()
        write_part(os.path.join(self.folder, PARTS), name, pa.table(columns, schema=SCHEMA), **SETTINGS)


def join_parts(folder: str) -> int:
    """Makes the parts below an evaluation's folder one file, a part at a time; gives how many images it has.

    An image that several batches had, as Beam tried one again or the data has it twice, is there once.
    """
    parts, seen = os.path.join(folder, PARTS), set[bytes]()
    tables = read_parts(parts)
    if (head := next(tables, None)) is None:  # a model that gives none
        return 0
    with opened_writer(os.path.join(folder, features.FEATURES_FILE), head.schema, **SETTINGS) as writer:
        for table in itertools.chain([head], tables):
            first = {digest: row for row, digest in enumerate(table["sha256"].to_pylist()) if digest not in seen}
            seen |= first.keys()
            if first:
                writer.write_table(table.take(sorted(first.values())))
    remove_folder(parts)
    return len(seen)


def fill_in(folder: str, digests: np.ndarray, values: np.ndarray, found: np.ndarray) -> None:
    """Fills in the features that an evaluation has of images whose rows lack them, a part of the file at a time.

    Args:
        folder: of the evaluation; nothing happens where an older Graft made it.
        digests: S32 [n], raw sha256 of the images' source files.
        values: float32 [n, d], changed in place; an evaluation of another width has nothing for them.
        found: bool [n], likewise: which rows have their features.
    """
    path = os.path.join(folder, features.FEATURES_FILE)
    if found.all() or not exists(path):
        return
    lacking = np.flatnonzero(~found)
    lacking = lacking[np.argsort(digests[lacking], kind="stable")]
    sought = digests[lacking]
    file = pq.ParquetFile(pa.BufferReader(read_bytes(path)) if is_remote(path) else path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        there = np.array(table["sha256"].to_pylist(), DIGEST)
        vectors = table["values"].combine_chunks().flatten().to_numpy().reshape(len(there), -1)
        if vectors.shape[1] != values.shape[1]:
            return
        first, last = np.searchsorted(sought, there, "left"), np.searchsorted(sought, there, "right")
        for row in np.flatnonzero(last > first):  # an image may be asked for twice
            places = lacking[first[row] : last[row]]
            values[places], found[places] = vectors[row], True
