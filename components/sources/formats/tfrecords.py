"""TFRecord files: where the image of each tf.Example is, and its label. Records are read one at a time.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any, NamedTuple

from components.contract import features
from components.errors import InputError
from components.options.data import DataOptions
from components.sources.content.packing import CHECKSUM, HEADER, length_of, mask_checksum
from components.sources.content.readers import describe_error, read_stored, read_stream
from components.sources.content.streams import UNPACK_ERRORS, Unreadable, member_path, open_unpacked
from components.sources.formats.entries import RecordImage, find_picture, guess_features, is_empty
from components.sources.layout.layouts import Placement, settle_test
from components.sources.layout.shapes import IMAGE_FILE, FolderShape
from components.sources.layout.splits import split_of_word
from components.sources.listing import FileFormat, IngestFormat, Listing, Source, Tree

TFRECORD = "tfrecord"
TFRECORD_NAME = re.compile(
    r"(.*\.(tfrecords?|tfrec|tfr)|data_tfrecord)(-\d+-of-\d+)?(\.gz|\.zlib)?", re.IGNORECASE | re.DOTALL
)
CLASS_NAMES = re.compile(r"(labels|classes|class_?names|.*\.labels)\.txt", re.IGNORECASE)
LARGEST_NAMES = 1 << 20  # bytes of a list of class names
OTHER_FEATURES = 1 << 20  # bytes that a record may have besides its image


def is_tfrecord_name(name: str) -> bool:
    """Tells whether a file's name is one that TFRecords usually have."""
    return TFRECORD_NAME.fullmatch(name.rpartition("/")[2]) is not None


def are_records(tree: Tree, shape: FolderShape) -> bool:
    """Tells whether a tree holds TFRecords, by content; or by their names, where no file is named like an image."""
    has_images = IMAGE_FILE in shape.values()
    return tree.holds == TFRECORD or (not has_images and any(is_tfrecord_name(file.name) for file in tree.files))


class Frame(NamedTuple):
    """One record, or the problem with it.

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


def walk_frames(stream: IO[bytes], max_bytes: int) -> Iterator[Frame]:
    """Yields all records of a stream, in order.

    Args:
        stream: unpacked, seekable forwards.
        max_bytes: longer records are passed over.
    """
    start = 0
    try:
        while header := stream.read(HEADER.size):
            length = length_of(header)
            if length is None:
                break
            yield _read_frame(stream, start + HEADER.size, length, max_bytes)
            start += HEADER.size + length + CHECKSUM.size
        else:
            return
    except (OSError, OverflowError, *UNPACK_ERRORS):
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


def list_pictures(file: Source, split: str, options: DataOptions) -> Iterator[Source]:
    """Yields the images in one TFRecord file.

    Args:
        file: the TFRecord file, or the member of an archive that is one.
        split: of all its images.
        options: names of the features, and the limit on an image's size.
    """
    path, max_bytes = member_path(file), _most_bytes(options)
    facts: dict[str, Any] = {"kind": TFRECORD, "split": split, "mtime_ns": file.mtime_ns, "inode": file.inode}
    facts["declared"] = True
    try:
        with open_unpacked(path) as stream:
            for index, frame in enumerate(walk_frames(stream, max_bytes)):
                name = f"{file.name}/rest" if frame.is_end else f"{file.name}/{index:08d}"
                picture = RecordImage(problem=frame.problem) if frame.problem else find_picture(frame.data, options)
                place: dict[str, Any] = {"position": frame.offset + picture.offset, "size": picture.size}
                yield Source(name, picture.label, path, problem=picture.problem, **place, **facts)
    except (OSError, *UNPACK_ERRORS) as error:
        yield Source(file.name, "", path, problem=describe_error(error), **facts)


def _most_bytes(options: DataOptions) -> int:
    return (options.max_file_megabytes << 20) + OTHER_FEATURES


def settle_features(files: list[Source], options: DataOptions) -> DataOptions:
    """Returns the options with the features of image and class in the first record that is not empty.

    Where the usual ones are not there and no others are asked for, the one feature that holds an image is the image,
    and the one that is named like a class is the class.

    Raises:
        InputError: the record is none that the options describe.
    """
    name, data = _first_record(files, options)
    if not name:
        return options
    guessed = guess_features(data, options)
    if problem := find_picture(data, guessed).problem:
        raise _wrong_features(name, problem)
    return guessed


def _first_record(files: list[Source], options: DataOptions) -> tuple[str, bytes]:
    """The first whole record that is not empty, and its file's name; else the first whole one; else nothing."""
    empty = ("", b"")
    for file in files:
        try:
            with open_unpacked(member_path(file)) as stream:
                for frame in walk_frames(stream, _most_bytes(options)):
                    if not frame.problem and not is_empty(frame.data):
                        return file.name, frame.data
                    empty = empty if frame.problem or empty[0] else (file.name, frame.data)
        except (OSError, *UNPACK_ERRORS):
            continue
    return empty


def _wrong_features(name: str, problem: str) -> InputError:
    return InputError(
        f"data.path: the first record of {name} is not as expected: {problem}.\n"
        "Say which features hold the encoded image and the class: data.image_feature and data.label_feature."
    )


def side_of_name(name: str) -> str:
    """Tells the side by the name of a TFRecord file: `train`, `eval`, `test` or empty.

    The innermost folder called like a split, or `Split-` and such a name, decides; without one, the last such word in
    the file's own name, between dots, dashes and underscores, and without its number:
    `cifar10-train.tfrecord-00000-of-00001`, `val07.tfrec`.
    """
    *folders, file = name.split("/")
    words = [re.sub("^split-", "", folder.lower()) for folder in reversed(folders)]
    words += [word.rstrip("0123456789") for word in reversed(re.split(r"[-_. ]", file))]
    return next((side for word in words if (side := split_of_word(word))), "")


def list_records(tree: Tree, _: Any, options: DataOptions) -> Listing | None:
    """Lists the records of all TFRecord files of a folder or archive, or of one file.

    Raises:
        InputError: the features are not there, or some files tell their split and others do not.
    """
    listing = Listing(tree.root, TFRECORD, [], tree.ignored, container=tree.container)
    alone = len(tree.files) == 1 and tree.files[0].path == tree.root
    files = sorted((file for file in tree.files if alone or file.name in tree.records), key=lambda file: file.name)
    if not files:
        return None
    listing.ignored += [(file.name, "not_a_record") for file in tree.files if file not in set(files)]
    places = place_shards([file.name for file in files], tree.root)
    options = settle_features([file for file in files if not places[file.name].ignored], options)
    listing.notes.append(
        f"the image is the feature '{options.image_feature}' of each record, the class '{options.label_feature}'"
    )
    for file in files:
        place = places[file.name]
        if place.ignored:
            listing.ignored.append((file.name, place.ignored))
        elif file.problem:
            listing.sources.append(replace(file, split=place.split, declared=True))
        else:
            listing.sources += list_pictures(file, place.split, options)
    name_classes(listing, tree)
    return listing


def name_classes(listing: Listing, tree: Tree) -> None:
    """Gives classes that are numbers from 0 the names in a list beside them, such as TFDS' `label.labels.txt`."""
    lists = [file for file in tree.files if CLASS_NAMES.fullmatch(file.name.rpartition("/")[2])]
    numbers = listing.labels
    if len(lists) != 1 or not all(number.isdecimal() for number in numbers):
        return
    try:
        names = read_stored(lists[0], LARGEST_NAMES).decode("utf-8-sig").splitlines()
    except (Unreadable, ValueError):
        return
    names = [name.strip() for name in names if name.strip()]
    if len(set(names)) < len(names) or any(int(number) >= len(names) for number in numbers):
        return
    listing.sources = [replace(one, label=names[int(one.label)] if one.label else "") for one in listing.sources]
    listing.ignored = [(name, "class_names" if name == lists[0].name else why) for name, why in listing.ignored]
    listing.notes.append(f"the names of the classes, by their numbers, are in {lists[0].name}")


def place_shards(names: list[str], root: str) -> dict[str, Placement]:
    """Places each file, or archive, on a side by its name; on none where not both sides are there.

    Raises:
        InputError: some tell their side and others do not.
    """
    sides = {name: side_of_name(name) for name in names}
    places = settle_test(side for side in sides.values() if side)
    if not {place.split for place in places.values()}.issuperset(features.SPLITS):
        return dict.fromkeys(names, Placement())
    if without := [name for name, side in sides.items() if not side]:
        told = next(name for name, side in sides.items() if side)
        raise InputError(
            f"data.path: {without[0]} in {root} does not say on which side it is, while {told} does.\n"
            "Put the files of each side into a folder: train/ and eval/."
        )
    return {name: places[side] for name, side in sides.items()}


def list_record_images(tree: Tree, options: DataOptions) -> list[Source] | None:
    """Reads the images of all records, whatever their class."""
    listing = list_records(tree, None, options.model_copy(update={"label_feature": ""}))
    return listing.sources if listing else None


INGEST_FORMAT = IngestFormat(
    TFRECORD,
    "train.tfrecord, with a tf.Example a record",
    list_records,
    are_records,
    list_record_images,
    FileFormat("TFRecord file", "TFRecords (.tfrecord)", is_tfrecord_name, lambda block: length_of(block) is not None),
    {TFRECORD: read_stream},
)
