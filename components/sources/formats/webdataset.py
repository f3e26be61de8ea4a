"""WebDataset: tar archives (shards) in which the files of a sample share their name up to its first dot.

`000001.jpg` and `000001.cls` are a sample; so they are in a folder, or in archives of other kinds. The class is what
stands in the field `cls` (or `class`, `label`), or in the `json` under one of `JSON_KEYS`. Format:
https://github.com/webdataset/webdataset#the-webdataset-format.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from components.images.formats import SUFFIX_FORMATS
from components.sources.content.readers import read_stored
from components.sources.content.streams import Unreadable
from components.sources.formats.tfrecords import name_classes, place_shards
from components.sources.layout.layouts import Placement
from components.sources.listing import IngestFormat, Listing, Source, Tree

TEXT_FIELDS = ("cls", "class", "label", "cls.txt", "class.txt", "label.txt")
JSON = "json"
JSON_KEYS = ("label", "class", "cls", "class_name", "label_name", "category", "target", "class_id", "label_id")
LONGEST_TEXT, LONGEST_JSON = 1 << 10, 1 << 24  # bytes
NO_CLASS = f"no class: expected a field cls, or {', '.join(JSON_KEYS[:3])} in a field json"
Sample = dict[str, Source]  # its files by their fields, such as `jpg`, `cls`, `seg.png`


def has_samples(tree: Tree, *_: Any) -> bool:
    """Tells whether most images have a file with their class beside them; JSON counts in tar archives only."""
    if not any(map(_may_hold_class, tree.files)):
        return False
    samples = [sample for sample in _group(tree.files).values() if _images(sample)]
    if 2 * sum(any(field in sample for field in TEXT_FIELDS) for sample in samples) > len(samples):
        return True
    with_json = [sample for sample in samples if JSON in sample and sample[JSON].kind == "tar"]
    return 2 * len(with_json) > len(samples) and not _label_of({JSON: with_json[0][JSON]})[1]


def _may_hold_class(file: Source) -> bool:
    field = file.name.rpartition(".")[2].lower()
    return field in TEXT_FIELDS or (field in (JSON, "txt") and file.kind == "tar")


def _group(files: Iterable[Source]) -> dict[tuple[str, str, int], Sample]:
    """The samples, by archive and key; a second file of one name is of a second sample."""
    samples: dict[tuple[str, str, int], Sample] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for file in files:
        folder, _, name = file.name.rpartition("/")
        key, _, field = name.partition(".")
        archive, own = "" if file.kind == "file" else file.path, f"{folder}/{key}.{field}".lower()
        seen[archive, own] += 1
        samples.setdefault((archive, f"{folder}/{key}", seen[archive, own]), {})[field.lower()] = file
    return samples


def _images(sample: Sample) -> list[str]:
    """The fields that are images; those with a dot, such as `seg.png`, only where there is no other."""
    fields = [field for field in sample if f".{field.rpartition('.')[2]}" in SUFFIX_FORMATS]
    return [field for field in fields if "." not in field] or fields


def list_samples(tree: Tree, *_: Any) -> Listing | None:
    """Lists the images of all samples, with their class; an image or a class alone has a problem.

    Raises:
        InputError: some shards tell their split and others do not.
    """
    grouped = sorted(_group(tree.files).values(), key=lambda sample: min(map(_storage, sample.values())))
    samples = [sample for sample in grouped if _is_sample(sample)]
    if not any(map(_images, samples)):
        return None
    listing = Listing(tree.root, "webdataset", [], tree.ignored, container=tree.container)
    fields = [field for field in (*TEXT_FIELDS, JSON) if any(field in sample for sample in samples)]
    listing.notes.append(f"WebDataset samples: the class of 1.jpg is in 1.{fields[0] if fields else 'cls'}")
    places = place_shards(sorted(set(map(_shard_of, samples))), tree.root)
    for sample in grouped:
        place = places[_shard_of(sample)] if _is_sample(sample) else Placement(ignored="beside_sample")
        taken = [] if place.ignored else [replace(source, split=place.split) for source in _read_sample(sample)]
        rest = {file.name for file in sample.values()} - {source.name for source in taken}
        listing.sources += taken
        listing.ignored += [(name, place.ignored or "beside_sample") for name in sorted(rest)]
    name_classes(listing, tree)
    return listing


def _is_sample(sample: Sample) -> bool:
    return bool(_images(sample)) or any(field in sample for field in TEXT_FIELDS)


def _shard_of(sample: Sample) -> str:
    return next(iter(sample.values())).name.rpartition("/")[0]


def _storage(file: Source) -> tuple[str, int]:
    return file.path, file.position


def _read_sample(sample: Sample) -> Iterator[Source]:
    images = _images(sample)
    label, problem = _label_of(sample)
    if len(images) > 1:
        problem = f"several images in one sample: {', '.join(images)}"
    for field in images:
        yield replace(sample[field], label=label, problem=sample[field].problem or problem, declared=True)
    if not images and label:
        field = next(field for field in (*TEXT_FIELDS, JSON) if field in sample)
        yield replace(sample[field], label=label, problem="a class without an image", declared=True)


def _label_of(sample: Sample) -> tuple[str, str]:
    """Reads the class of a sample, and the problem with it."""
    field = next((field for field in (*TEXT_FIELDS, JSON) if field in sample), "")
    if not field:
        return "", NO_CLASS
    try:
        content = read_stored(sample[field], LONGEST_JSON if field == JSON else LONGEST_TEXT)
        label = _label_in_json(content) if field == JSON else content.decode("utf-8").strip()
    except (Unreadable, ValueError, RecursionError) as error:
        return "", f"no class: .{field} cannot be read: {error}"
    return label, "" if label else NO_CLASS


def _label_in_json(content: bytes) -> str:
    found = json.loads(content)
    values = [found.get(key) for key in JSON_KEYS] if isinstance(found, dict) else []
    return next(
        (str(value).strip() for value in values if isinstance(value, str | int) and not isinstance(value, bool)), ""
    )


INGEST_FORMAT = IngestFormat("webdataset", "shard-000000.tar, with 1.jpg and 1.cls", list_samples, has_samples)
