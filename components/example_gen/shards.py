"""TFRecord shards that appear under their names only when they are whole, and that are read again to be sure.

An engine tries a bundle again when a worker is lost, runs two attempts of it at once, or goes on with one that it took
for dead. Each attempt writes files of its own, and the last thing that it does is to rename them: all attempts at a
shard have the same bytes, so it does not matter which of them comes last.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import tensorflow as tf
from google.protobuf.message import DecodeError

from components.contract import features
from components.example_gen.manifest import Row
from components.files.paths import opened
from components.images.findings import CONVERTED
from components.sources.formats.tfrecords import Frame, walk_frames

ATTEMPTS = ".attempts"
ANY_SIZE = 1 << 62


class DamagedShards(RuntimeError):
    """Published shards differ from the manifest."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(
            f"{place}: {problem}.\nThe shards must hold the records of the manifest. Start the run again when "
            "nothing else writes there. The disk may be full or damaged, or Beam's workers may not see the same one."
        )


def empty_splits(uri: str) -> None:
    """Makes the folders of the splits, without what an earlier attempt at the node may have left."""
    for name in (ATTEMPTS, *(f"Split-{side}" for side in features.SPLITS)):
        folder = os.path.join(uri, name)
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
        tf.io.gfile.makedirs(folder)


@contextmanager
def open_shards(uri: str, shards: Mapping[str, str]) -> Iterator[dict[str, tf.io.TFRecordWriter]]:
    """Opens writers for some shards, which get their names at the end, unless there was an error.

    Args:
        uri: of the artifact, after `empty_splits`.
        shards: {split: name of the file below the artifact}.
    """
    attempt = os.path.join(uri, ATTEMPTS, uuid.uuid4().hex)
    paths = {split: f"{attempt}-{split}" for split in shards}
    try:
        with ExitStack() as stack:
            yield {split: stack.enter_context(tf.io.TFRecordWriter(path)) for split, path in paths.items()}
    except BaseException:
        for path in paths.values():
            if tf.io.gfile.exists(path):
                tf.io.gfile.remove(path)
        raise
    for split, path in paths.items():
        tf.io.gfile.rename(path, os.path.join(uri, shards[split]), overwrite=True)


def finish_splits(uri: str, planned: set[str]) -> None:
    """Removes what lost attempts left, and looks whether all planned shards are there, and no other file.

    Raises:
        DamagedShards: one is missing, or there is another one.
    """
    tf.io.gfile.rmtree(os.path.join(uri, ATTEMPTS))
    folders = [f"Split-{side}" for side in features.SPLITS]
    found = {
        f"{folder}/{name}" for folder in folders for name in tf.io.gfile.listdir(os.path.join(uri, folder)) if name
    }
    for name in sorted(planned ^ found):
        problem = "no worker wrote this shard" if name in planned else "a file that no worker was to write"
        raise DamagedShards(os.path.join(uri, name), problem)


def check_records(uri: str, shards: Mapping[str, str], expected: Iterable[tuple[Row, int]]) -> None:
    """Reads shards again: number, order, checksums, names, labels and contents of their records.

    Args:
        uri: of the artifact.
        shards: {split: name of the file below the artifact}.
        expected: row and label of the records of these shards in their order, those of several splits mixed.

    Raises:
        DamagedShards: with the first difference.
    """
    paths = {split: os.path.join(uri, name) for split, name in shards.items()}
    with ExitStack() as stack:
        files = {split: stack.enter_context(opened(path)) for split, path in paths.items()}
        frames = {split: walk_frames(file, ANY_SIZE) for split, file in files.items()}
        for row, label in expected:
            if problem := compare_record(next(frames[row.split], None), row, label):
                raise DamagedShards(paths[row.split], problem)
        for split, rest in frames.items():
            if next(rest, None):
                raise DamagedShards(paths[split], "there are more records than in the manifest")


def compare_record(frame: Frame | None, row: Row, label: int) -> str:
    """Describes the first difference between a record and its row; empty: there is none."""
    if frame is None or frame.problem:
        return f"{frame.problem if frame else 'the shard ends'} where {row.name} should be"
    try:
        found = tf.train.Example.FromString(frame.data).features.feature
    except DecodeError:
        return f"no tf.Example where {row.name} should be"
    names = [name.decode("utf-8", "surrogateescape") for name in found[features.FILENAME].bytes_list.value]
    if names != [row.name]:
        return f"a record of {', '.join(names) or 'no file'} where {row.name} should be"
    digests = [digest.decode() for digest in found[features.SHA256].bytes_list.value]
    if CONVERTED not in row.flags:
        digests += [hashlib.sha256(image).hexdigest() for image in found[features.IMAGE].bytes_list.value]
    if set(digests) != {row.sha256} or list(found[features.LABEL].int64_list.value) != [label]:
        return f"the record of {row.name} does not hold the image and the class of the manifest"
    return ""
