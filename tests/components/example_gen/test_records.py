"""One record at a time: what stands in it, and in which order the work is done."""

import os

import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.example_gen.comparison import Findings
from components.example_gen.history import ClassMap
from components.example_gen.manifest import Row, make_row
from components.example_gen.records import make_example, read_again, read_worklist, write_worklist
from components.example_gen.scan import Scan
from components.images.findings import ImageLimits
from components.images.inspection import inspect_image
from components.sources.listing import Listing, Source
from tests import pictures

LIMITS = ImageLimits(10**6, 1, 10**6)


def parse(record):
    return tf.train.Example.FromString(record).features.feature


def test_a_record_holds_the_features_of_the_contract():
    row = Row("cats/é.png", "été", "train", "", "ab" * 32, 3, "png", 16, 20, 4, 7.25, 1.5)
    parsed = parse(make_example(row, b"xyz", 7))
    values = {
        name: (list(f.bytes_list.value) or list(f.int64_list.value) or list(f.float_list.value))
        for name, f in parsed.items()
    }
    assert values == {
        features.IMAGE: [b"xyz"],
        features.LABEL_TEXT: ["été".encode()],
        features.LABEL: [7],
        features.FILENAME: ["cats/é.png".encode()],
        features.SHA256: [b"ab" * 32],
        features.FORMAT: [b"png"],
        features.HEIGHT: [16],
        features.WIDTH: [20],
        features.CHANNELS: [4],
        features.BYTE_SIZE: [3],
        features.BRIGHTNESS: [7.25],
        features.CONTRAST: [1.5],
        features.ASPECT_RATIO: [1.25],
    }
    kinds = {"BYTES": "bytes_list", "INT": "int64_list", "FLOAT": "float_list"}
    for name, kind in features.STATISTICS_FEATURES.items():
        assert getattr(parsed[name], kinds[kind]).value


def test_a_file_name_that_is_not_utf8_keeps_its_bytes():
    row = Row(os.fsdecode(b"cats/\xe9.png"), "cats", "train", "", "ab" * 32, 3, "png", 1, 1, 3)
    assert parse(make_example(row, b"xyz", 0))[features.FILENAME].bytes_list.value[0] == b"cats/\xe9.png"


def test_what_tensorflow_cannot_decode_is_stored_as_png():
    content = pictures.encode(pictures.noise(40, 50), "webp", lossless=True)
    row = make_row(Source("a.webp", "cats", "a.webp"), inspect_image("a.webp", content, LIMITS))
    parsed = parse(make_example(row, content, 0))
    assert row.format == "webp"
    assert parsed[features.FORMAT].bytes_list.value[0] == b"png"
    pixels = tf.io.decode_image(parsed[features.IMAGE].bytes_list.value[0], channels=3)
    assert (pixels.numpy() == pictures.noise(40, 50)).all()


def source_and_row(tmp_path, content):
    path = pictures.write(tmp_path / "a.png", content)
    source = Source("a.png", "cats", str(path), size=len(content))
    return source, make_row(source, inspect_image("a.png", content, LIMITS))


def test_the_content_that_was_inspected_is_read_again(tmp_path):
    content = pictures.encode(pictures.noise())
    assert read_again(*source_and_row(tmp_path, content), 10**6) == content


def test_a_file_that_changed_since_is_refused(tmp_path):
    source, row = source_and_row(tmp_path, pictures.encode(pictures.noise()))
    pictures.write(tmp_path / "a.png", pictures.encode(pictures.noise(seed=1)))
    with pytest.raises(
        InputError, match=r"a\.png changed while the run was reading it\.\nStart the run again"
    ) as error:
        read_again(source, row, 10**6)
    assert "--verify" in str(error.value)


def test_a_file_that_is_gone_since_is_refused(tmp_path):
    source, row = source_and_row(tmp_path, pictures.encode(pictures.noise()))
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png cannot be read any more: No such file"):
        read_again(source, row, 10**6)


def scan_of(kind, count):
    sources = [Source(f"{i:03d}", "ab"[i % 2], "/archive", kind, position=count - i) for i in range(count)]
    rows = [
        Row(s.name, s.label, ("train", "eval")[i % 4 == 0], sha256=f"{(i * 7919) % count:04d}", bytes=10)
        for i, s in enumerate(sources)
    ]
    rows[3].reject("empty", "0 bytes")
    rows.append(Row("z", ignored="hidden"))
    return Scan(Listing("/", "class_folders", sources), rows, Findings(), ClassMap(["a", "b"]))


@pytest.mark.parametrize("kind", ["file", "zip", "tar", "tfrecord"])
def test_files_are_read_in_the_order_of_their_digests_archives_in_that_of_storage(tmp_path, kind):
    path, scan = str(tmp_path / "list"), scan_of(kind, 192)
    units = write_worklist(path, scan, 400)
    work = [line for unit in units for line in read_worklist(path, unit)]
    assert len(work) == sum(unit.lines for unit in units) == 191
    stored = kind in ("tar", "tfrecord")
    keys = [source.position if stored else (row.split, row.sha256) for source, row, _ in work]
    assert keys == sorted(keys)
    assert {(row.label, label) for _, row, label in work} == {("a", 0), ("b", 1)}


@pytest.mark.parametrize(("kind", "evals", "trains"), [("file", 2, 4), ("tar", 4, 4)])
def test_a_unit_has_whole_shards_of_its_own(tmp_path, kind, evals, trains):
    """48 eval and 143 train images of 10 bytes, shards of 400 bytes; in an archive both splits are read at once."""
    path, scan = str(tmp_path / "list"), scan_of(kind, 192)
    units = write_worklist(path, scan, 400)
    shards = [name for unit in units for name in unit.shards.values()]
    totals = {"eval": evals, "train": trains}
    assert sorted(shards) == [
        f"Split-{side}/data_tfrecord-{i:05d}-of-{total:05d}" for side, total in totals.items() for i in range(total)
    ]
    for unit in units:
        found = [row.split for _, row, _ in read_worklist(path, unit)]
        assert set(found) == set(unit.shards)
        assert all(found.count(split) <= 40 for split in found)


def test_an_image_that_becomes_a_png_counts_with_its_pixels(tmp_path):
    scan = scan_of("file", 8)
    for row in scan.rows[:8]:
        row.flags, row.height, row.width, row.channels = ("converted",), 10, 10, 3
    units = write_worklist(str(tmp_path / "list"), scan, 600)
    assert [unit.lines for unit in units] == [2, 2, 2, 1]
