"""A pack comes back to the bit, takes little room, and is trusted only as it was written."""

import io
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.trainer.features.packs import ROWS, BadPack, Pack, PackEncoder, checksum_of
from tests.conftest import encode_pack

DIGESTS = np.frombuffer(np.random.default_rng(1).bytes(1500 * 32), "S32")


def opened(content):
    return Pack(content, checksum_of(content))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_value_comes_back_to_the_bit_and_zeros_take_no_room(dtype):
    values = np.maximum(np.random.default_rng(0).normal(size=(1500, 64)), 0).astype(dtype)
    odd = [np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal, 0.0]
    values[3, :8], values[300] = odd, 0.0
    content = encode_pack(DIGESTS, values)
    pack = opened(content)
    assert pack.width == 64
    assert pack.digests.tobytes() == DIGESTS.tobytes()
    assert pack.vectors().astype(dtype).tobytes() == values.tobytes()
    assert len(content) - DIGESTS.nbytes < 0.63 * values.nbytes


@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_widths_that_fill_no_byte(width):
    values = np.random.default_rng(0).integers(0, 2, size=(30, width)).astype(np.float32)
    np.testing.assert_array_equal(opened(encode_pack(DIGESTS[:30], values)).vectors(), values)


def test_the_values_are_split_into_streams_and_packed_by_zstandard():
    content = encode_pack(DIGESTS, np.ones([1500, 3], np.float32))
    column = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(2)
    assert column.path_in_schema == "values.list.element"
    assert "BYTE_STREAM_SPLIT" in column.encodings
    assert column.compression == "ZSTD"


def test_rows_are_found_by_digest():
    pack = opened(encode_pack(DIGESTS[:5], np.zeros([5, 3], np.float32)))
    wanted = np.sort(DIGESTS[3:7])
    assert [DIGESTS[row] if row >= 0 else None for row in pack.find(wanted)] == [
        name if name in DIGESTS[:5] else None for name in wanted
    ]


def test_every_single_wrong_bit_is_noticed():
    content = encode_pack(DIGESTS[:2], np.ones([2, 5], np.float32))
    checksum = checksum_of(content)
    for place in range(len(content)):
        for bit in range(8):
            wrong = bytearray(content)
            wrong[place] ^= 1 << bit
            with pytest.raises(BadPack, match="a wrong checksum of its"):
                Pack(bytes(wrong), checksum)


@pytest.mark.parametrize("kind", ["garbage", "another table"])
def test_what_is_whole_but_no_pack_is_refused(kind):
    table = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(encode_pack(DIGESTS, np.ones([1500, 3])))).replace_schema_metadata(), table)
    content = {"garbage": b"GRAFTPK2" + bytes(100), "another table": table.getvalue()}[kind]
    with pytest.raises(BadPack, match="not a pack of features"):
        opened(content)


@pytest.mark.parametrize("step", [7, ROWS, 1500])
def test_vectors_that_come_bit_by_bit_make_the_same_pack(step):
    values = np.maximum(np.random.default_rng(0).normal(size=[1500, 9]), 0).astype(np.float32)
    encoder = PackEncoder(9)
    for start in range(0, len(values), step):
        encoder.add(DIGESTS[start : start + step], values[start : start + step])
    assert encoder.finish() == encode_pack(DIGESTS, values)


def test_a_pack_holds_few_vectors_while_it_is_made():
    width, batch = 1000, np.zeros(64, "S32")
    tracemalloc.start()
    encoder = PackEncoder(width)
    for _ in range(100):
        encoder.add(batch, np.zeros([64, width], np.float32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4 * width * ROWS  # of 25 MB of vectors in all
