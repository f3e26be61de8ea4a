"""The Trainer's input: who is in a split, and its pixels."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.options.data import TransformOptions
from components.trainer.features.data import (
    Split,
    image_size,
    in_content_order,
    join_splits,
    list_files,
    names_by_index,
    open_records,
    pixel_batches,
    read_split,
    spread_rows,
    take_rows,
    take_sample,
)
from components.transform import decode_and_resize
from tests.components.trainer.toys import toy
from tests.conftest import CLASSES, SIDE


def split_of(*pairs):
    """A split with these (label, class name) pairs and no files."""
    labels, texts = zip(*pairs, strict=True) if pairs else ((), ())
    digests = [hashlib.sha256(str(index).encode()).hexdigest().encode() for index in range(len(pairs))]
    texts = np.array([text.encode() for text in texts], object)
    return Split([], np.array(digests, object), np.array(labels, np.int64), texts)


def test_a_split_is_read_in_the_order_of_its_files(train_records):
    split = read_split(train_records.pattern)
    assert len(split) == len(train_records.labels)
    assert split.labels.tolist() == train_records.labels
    assert split.labels.dtype == np.int64
    assert [digest.decode() for digest in split.sha256] == [
        hashlib.sha256(content).hexdigest() for content in train_records.contents
    ]
    assert names_by_index(split) == CLASSES


def test_files_of_several_patterns_are_sorted(tmp_path):
    for name in ("b/2", "a/9", "a/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_files([str(tmp_path / "b" / "*"), str(tmp_path / "a" / "*")])
    assert [name.removeprefix(f"{tmp_path}/") for name in found] == ["a/1", "a/9", "b/2"]


def test_compressed_records_are_told_by_their_suffix(train_records, tmp_path):
    (plain,) = list_files(train_records.pattern)
    with open(plain, "rb") as source, gzip.open(tmp_path / "data_tfrecord-00000-of-00001.gz", "wb") as target:
        target.write(source.read())
    split = read_split([str(tmp_path / "*")])
    assert split.labels.tolist() == train_records.labels
    assert list(open_records(split.files).as_numpy_iterator()) == train_records.serialized


def test_an_empty_split_has_no_one_in_it(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "data")):
        pass
    split = read_split([str(tmp_path / "*")])
    assert len(split) == 0
    assert split.labels.dtype == np.int64


def test_joined_splits_keep_their_order(train_records, eval_records):
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    both = join_splits(train, evaluation)
    assert len(both) == len(train) + len(evaluation)
    assert both.labels.tolist() == train_records.labels + eval_records.labels
    assert both.sha256.tolist() == train.sha256.tolist() + evaluation.sha256.tolist()
    assert list(open_records(both.files).as_numpy_iterator()) == train_records.serialized + eval_records.serialized


def test_a_sample_is_of_the_content_and_its_pixels_are_those_of_its_images(train_records, eval_records, transform):
    train, evaluation = read_split(train_records.pattern), read_split(eval_records.pattern)
    sample = take_sample(evaluation, 6)
    assert sorted(sample.sha256) == sorted(evaluation.sha256)[:6]
    assert sample.sha256.tolist() == [name for name in evaluation.sha256 if name in set(sample.sha256)]
    assert take_sample(evaluation, None) is take_sample(evaluation, len(evaluation)) is evaluation
    both = join_splits(train, sample)
    whole = pixels_of(join_splits(train, evaluation), transform)
    found, wanted = pixels_of(both, transform), np.ones(len(both), bool)
    assert sorted(found) == list(range(len(both)))
    names = {name: row for row, name in enumerate([*train.sha256, *evaluation.sha256])}
    for row, pixels in found.items():
        np.testing.assert_array_equal(pixels, whole[names[both.sha256[row]]])
    wanted[::2] = False
    assert sorted(pixels_of(both, transform, wanted)) == np.flatnonzero(wanted).tolist()
    moved = replace(sample, row_of=np.roll(sample.row_of, 1))
    with pytest.raises(AssertionError, match="another record"):
        pixels_of(moved, transform)


def pixels_of(split, transform, wanted=None):
    """Pixels by the row of the split; a record that is not the one that the split names is an error."""
    found = {}
    for rows, pixels in pixel_batches(split, transform, 4, wanted):
        assert (rows.numpy() > -2).all(), "another record"
        found |= {row: image for row, image in zip(rows.numpy().tolist(), pixels.numpy(), strict=True) if row >= 0}
    return found


def test_the_order_of_the_records_does_not_matter_to_what_is_learned():
    split = split_of(*((index % 3, "abc"[index % 3]) for index in range(9)))
    values = np.arange(9, dtype=np.float32)[:, None]
    expected, expected_values = in_content_order(split, values)
    assert expected.sha256.tolist() == sorted(split.sha256)
    shuffled = np.random.default_rng(1).permutation(9)
    other = Split([], split.sha256[shuffled], split.labels[shuffled], split.texts[shuffled])
    found, found_values = in_content_order(other, values[shuffled])
    for name in ("sha256", "labels", "texts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found_values, expected_values)


def test_rows_are_spread_over_the_classes_whatever_the_order_of_the_records():
    _, split = toy(count=60, classes=2)
    rare = take_rows(split, np.concatenate([np.flatnonzero(split.labels == 0), np.flatnonzero(split.labels == 1)[:3]]))
    chosen = take_rows(rare, spread_rows(rare, 6))
    assert sorted(chosen.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    shuffled = take_rows(rare, np.random.default_rng(3).permutation(len(rare)))
    assert take_rows(shuffled, spread_rows(shuffled, 6)).sha256.tolist() == chosen.sha256.tolist()
    assert sorted(spread_rows(rare, 1000).tolist()) == list(range(len(rare)))


def test_class_names_stand_in_the_order_of_their_index():
    assert names_by_index(split_of((1, "a"), (0, "z"), (2, "é"), (1, "a"))) == ["z", "a", "é"]


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(0, "cats")],
        [(0, "cats"), (2, "dogs")],
        [(1, "cats"), (2, "dogs")],
        [(0, "cats"), (0, "dogs"), (1, "birds")],
    ],
    ids=["nobody", "one class", "a gap", "no zero", "two names"],
)
def test_labels_that_are_no_class_map_are_refused(pairs):
    with pytest.raises(InputError, match=r"expected the indices 0, 1, ... with one name each") as caught:
        names_by_index(split_of(*pairs))
    assert f"got {sorted(set(pairs))}" in str(caught.value)
    assert "--no-cache" in str(caught.value)


@pytest.mark.parametrize("batch", [4, 5])
def test_batches_are_full_and_the_filling_is_marked(eval_records, transform, batch):
    count = len(eval_records.contents)
    batches = list(pixel_batches(read_split(eval_records.pattern), transform, batch).as_numpy_iterator())
    assert len(batches) == -(-count // batch)
    assert {index.shape for index, _ in batches} == {(batch,)}
    assert {pixels.shape for _, pixels in batches} == {(batch, SIDE, SIDE, 3)}
    indices = np.concatenate([index for index, _ in batches])
    assert indices[:count].tolist() == list(range(count))
    assert (indices[count:] == -1).all()


def test_pixels_are_those_of_their_image_and_the_filling_repeats_the_last(eval_records, transform):
    expected = decode_and_resize(tf.constant(eval_records.contents), TransformOptions(image_size=SIDE)).numpy()
    ((index, pixels),) = pixel_batches(read_split(eval_records.pattern), transform, 20).as_numpy_iterator()
    np.testing.assert_allclose(pixels[index >= 0], expected, atol=1e-4)
    np.testing.assert_array_equal(pixels[index < 0], np.repeat(pixels[14:15], 5, axis=0))


def test_the_image_size_is_that_of_the_transform_graph(transform):
    assert image_size(transform) == (SIDE, SIDE)


def test_images_are_told_apart_by_the_bytes_in_the_records(train_records, eval_records):
    split = read_split(train_records.pattern)
    wanted = [hashlib.sha256(content).digest() for content in train_records.contents]
    assert [digest.ljust(32, b"\0") for digest in split.digests().tolist()] == wanted
    both = join_splits(split, read_split(eval_records.pattern))
    assert both.digests()[:36].tolist() == split.digests().tolist()
    ordered, _ = in_content_order(split, np.zeros([36, 1]))
    assert [digest.hex() for digest in ordered.digests().tolist()] == [name.decode() for name in ordered.sha256]
    unread = Split([], split.sha256, split.labels, split.texts)
    assert unread.digests().tolist() == split.digests().tolist()


@pytest.mark.parametrize("rows", [[], [0, 3, 4, 5, 14]])
def test_only_what_is_wanted_is_decoded(eval_records, transform, rows, tmp_path):
    """The others may be no images at all."""
    records = []
    for row, serialized in enumerate(eval_records.serialized):
        example = tf.train.Example.FromString(serialized)
        if row not in rows:
            example.features.feature["image/encoded"].bytes_list.value[0] = b"no image"
        records.append(example.SerializeToString())
    with tf.io.TFRecordWriter(str(tmp_path / "data")) as writer:
        for record in records:
            writer.write(record)
    wanted = np.isin(np.arange(15), rows)
    found = list(pixel_batches(read_split([str(tmp_path / "data")]), transform, 4, wanted).as_numpy_iterator())
    assert len(found) == -(-len(rows) // 4)
    assert [index for batch, _ in found for index in batch if index >= 0] == rows


def test_a_record_that_is_not_the_one_of_the_split_is_marked(train_records, eval_records, transform):
    split = read_split(eval_records.pattern)
    other = Split(read_split(train_records.pattern).files, split.sha256, split.labels, split.texts)
    for batch, _ in pixel_batches(other, transform, 16).as_numpy_iterator():
        assert (batch[batch != -1] == -2).all()
