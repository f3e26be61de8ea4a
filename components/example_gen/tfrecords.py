"""TFRecord files: where the image of each tf.Example is, and its label. Records are read one at a time.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any, NamedTuple

import google_crc32c

from components import features
from components.errors import InputError
from components.example_gen.layouts import Place, is_tfrecord_name, settle_test, split_of_word
from components.example_gen.listing import Listing, Source, Tree
from components.example_gen.readers import DAMAGE, describe_error, member_path, open_unpacked
from components.options import DataOptions

HEADER = struct.Struct("<QI")  # length of the data, and the masked checksum of these 8 bytes
CHECKSUM = struct.Struct("<I")
CONTAINER = "TFRecord file"  # of a listing of a single one
OTHER_FEATURES = 1 << 20  # bytes that a record may have besides its image


class Frame(NamedTuple):
    """One record, or what is wrong with it.

    Attributes:
        offset: of its data, in bytes from the start of the unpacked stream.
        data: empty where there is a problem.
        problem: why the record, or with `is_end` all that follows, cannot be read.
        is_end: whether the walk ends here.
    """

    offset: int
    data: bytes = b""
    problem: str = ""
    is_end: bool = False


class Picture(NamedTuple):
    """The image in a record: its label, its offset in the record and its size in bytes; or a problem."""

    label: str = ""
    offset: int = 0
    size: int = 0
    problem: str = ""


def mask_checksum(data: bytes) -> int:
    """CRC-32C of the data, 0..2**32-1, masked as TFRecords have it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def starts_like_records(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are the header of a record."""
    return len(head) >= HEADER.size and _length(head) is not None


def _length(header: bytes) -> int | None:
    """The length that a header gives, None where its checksum is wrong."""
    length, checksum = HEADER.unpack_from(header)
    return length if checksum == mask_checksum(header[:8]) else None


def walk_frames(stream: IO[bytes], max_bytes: int) -> Iterator[Frame]:
    """All records of a stream, in order.

    Args:
        stream: unpacked, seekable forwards.
        max_bytes: longer records are passed over.
    """
    start = 0
    try:
        while header := stream.read(HEADER.size):
            length = _length(header) if len(header) == HEADER.size else None
            if length is None:
                break
            yield _read_frame(stream, start + HEADER.size, length, max_bytes)
            start += HEADER.size + length + CHECKSUM.size
        else:
            return
    except (OSError, OverflowError, *DAMAGE):
        pass
    yield Frame(start, problem=f"damaged record at byte {start:,}; what follows is lost", is_end=True)


def _read_frame(stream: IO[bytes], offset: int, length: int, max_bytes: int) -> Frame:
    if length > max_bytes:
        stream.seek(offset + length)
        data, problem = b"", f"a record of {length:,} bytes, limit {max_bytes:,}"
    else:
        data, problem = stream.read(length), ""
    checksum = stream.read(CHECKSUM.size)
    if len(checksum) < CHECKSUM.size:
        raise EOFError
    if not problem and CHECKSUM.unpack(checksum)[0] != mask_checksum(data):
        data, problem = b"", "the record's checksum is wrong"
    return Frame(offset, data, problem)


def find_picture(data: bytes, options: DataOptions) -> Picture:
    """The image and the label of a serialized tf.Example, by the features that the options name.

    An empty `label_feature`: the label does not matter.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        found = tf.train.Example.FromString(data).features.feature
    except DecodeError:
        return Picture(problem="no tf.Example")
    label, count = _label(found[options.label_feature]) if options.label_feature in found else ("", 0)
    for name in (options.image_feature, options.label_feature):
        if name and name not in found:
            names = ", ".join(f"'{name}'" for name in sorted(found)) or "none"
            return Picture(label, problem=f"no feature '{name}' among {names:.300}")
    content = found[options.image_feature].bytes_list.value
    if len(content) != 1:
        return Picture(
            label, problem=f"feature '{options.image_feature}' has {len(content)} byte strings instead of one"
        )
    if options.label_feature and (count != 1 or not label):
        return Picture(problem=f"feature '{options.label_feature}' has {count} texts or integers instead of one")
    return Picture(label, data.index(content[0]), len(content[0]))  # any place that has these bytes will do


def _label(feature: Any) -> tuple[str, int]:
    """The class name, and how many values there are."""
    values = [value.decode("utf-8", "surrogateescape") for value in feature.bytes_list.value]
    values += [str(value) for value in feature.int64_list.value]
    return (values[0] if values else ""), len(values)


def list_pictures(file: Source, split: str, options: DataOptions, is_first: bool) -> Iterator[Source]:
    """The images in one TFRecord file.

    Args:
        file: the TFRecord file, or the member of an archive that is one.
        split: of all its images.
        options: names of the features, and the limit on an image's size.
        is_first: whether the first record here is the first of all, which must have the features.

    Raises:
        InputError: the first record is none that the options describe.
    """
    path, max_bytes = member_path(file), (options.max_file_megabytes << 20) + OTHER_FEATURES
    facts: dict[str, Any] = {"kind": "tfrecord", "split": split, "mtime_ns": file.mtime_ns, "inode": file.inode}
    try:
        with open_unpacked(path) as stream:
            for index, frame in enumerate(walk_frames(stream, max_bytes)):
                name = f"{file.name}/rest" if frame.is_end else f"{file.name}/{index:08d}"
                picture = Picture(problem=frame.problem) if frame.problem else find_picture(frame.data, options)
                if picture.problem and not frame.problem and is_first and index == 0:
                    raise _wrong_features(file.name, picture.problem)
                place: dict[str, Any] = {"position": frame.offset + picture.offset, "size": picture.size}
                yield Source(name, picture.label, path, problem=picture.problem, **place, **facts)
    except InputError:
        raise
    except (OSError, *DAMAGE) as error:
        yield Source(file.name, "", path, problem=describe_error(error), **facts)


def _wrong_features(name: str, problem: str) -> InputError:
    return InputError(
        f"data.path: the first record of {name} is not as expected: {problem}.\n"
        "Say which features hold the encoded image and the class: data.image_feature and data.label_feature."
    )


def side_of_name(name: str) -> str:
    """`train`, `eval` or `test` by the name of a TFRecord file, or an empty string.

    The innermost folder called like a split, or `Split-` and such a name, decides; without one, the first such word in
    the file's own name, between dots, dashes and underscores: `cifar10-train.tfrecord-00000-of-00001`.
    """
    *folders, file = name.split("/")
    words = [re.sub("^split-", "", folder.lower()) for folder in reversed(folders)] + re.split(r"[-_.]", file)
    return next((side for word in words if (side := split_of_word(word))), "")


def list_records(tree: Tree, _: Any, options: DataOptions) -> Listing | None:
    """The records of all TFRecord files of a folder or archive, or of one file.

    Raises:
        InputError: the features are not there, or some files tell their split and others do not.
    """
    listing = Listing(tree.root, "tfrecord", [], tree.ignored, container=tree.container)
    alone = len(tree.files) == 1 and tree.files[0].path == tree.root
    files = sorted((file for file in tree.files if alone or is_tfrecord_name(file.name)), key=lambda file: file.name)
    if not files:
        return None
    listing.ignored += [
        (file.name, "not_a_record") for file in tree.files if not alone and not is_tfrecord_name(file.name)
    ]
    places = _places([file.name for file in files], tree.root)
    for file in files:
        place = places[file.name]
        if place.ignored:
            listing.ignored.append((file.name, place.ignored))
        elif file.problem:
            listing.sources.append(replace(file, split=place.split))
        else:
            listing.sources += list_pictures(file, place.split, options, is_first=not listing.sources)
    return listing


def _places(names: list[str], root: str) -> dict[str, Place]:
    """The side of each file; none of any where not both sides are there."""
    sides = {name: side_of_name(name) for name in names}
    places = settle_test(side for side in sides.values() if side)
    if not {place.split for place in places.values()}.issuperset(features.SPLITS):
        return dict.fromkeys(names, Place())
    if without := [name for name, side in sides.items() if not side]:
        told = next(name for name, side in sides.items() if side)
        raise InputError(
            f"data.path: {without[0]} in {root} does not say on which side it is, while {told} does.\n"
            "Put the TFRecord files of each side into a folder: train/ and eval/."
        )
    return {name: places[side] for name, side in sides.items()}
