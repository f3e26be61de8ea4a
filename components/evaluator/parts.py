"""Tables on their way from Beam's workers to an evaluation: a file a batch, which is read once, then one file.

A part is whole or not there. Its name follows from its batch, so a batch that Beam tries again, or that two workers
have at once, is there once.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.files.paths import list_names, make_folder, read_bytes, write_atomically

SUFFIX = ".parquet"
COPIED_AT_ONCE = 1 << 20  # bytes


def write_part(folder: str, name: str, table: pa.Table, **settings: Any) -> None:
    """Writes a part.

    Args:
        folder: of the parts.
        name: of the batch; parts are read in the order of their names.
        table: at least one row.
        settings: of Parquet.
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **settings)
    make_folder(folder)
    write_atomically(os.path.join(folder, name + SUFFIX), buffer.getvalue())


def read_parts(folder: str) -> Iterator[pa.Table]:
    """Reads the parts in the order of their names; none where there is no folder."""
    for name in list_names(folder, SUFFIX):
        yield pq.read_table(pa.BufferReader(read_bytes(os.path.join(folder, name))))


@contextmanager
def opened_writer(path: str, schema: pa.Schema, **settings: Any) -> Iterator[pq.ParquetWriter]:
    """Gives a writer of a Parquet file, local or remote, which is there when everything is written."""
    from tfx.dsl.io import fileio

    with tempfile.NamedTemporaryFile(prefix="graft-parts-") as local:
        with pq.ParquetWriter(local.name, schema, **settings) as writer:
            yield writer
        with fileio.open(path, "wb") as file:
            shutil.copyfileobj(local, file, COPIED_AT_ONCE)
