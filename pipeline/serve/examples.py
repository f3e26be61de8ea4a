"""Example images of each class, from the eval split of the run that made a version; nothing of it was trained on.

The working directory keeps a run's manifest and its records, `artifacts/ImageExampleGen/<kind>/<execution>`. The
version's passport has the digest of its manifest, so what is found is the data of that version, whatever other runs
left. Clients name an example by its number in a list that is made here: no path comes from them, none goes to them.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract import features
from components.files.digests import digest_of
from components.images.overlay import read_small

MOST_IMAGES = 60  # where each class has more than one
MOST_OF_A_CLASS = 4
MOST_BYTES = 64 << 20  # of all examples of a version, in memory
LARGEST = 8 << 20  # bytes of one example
THUMBNAIL = 160  # px
GONE = "The working directory no longer has the data of the run that made this version, or another one made it."
UNKNOWN = "This version does not say which data it is made of."


@dataclass(frozen=True)
class Example:
    """An eval image as its record holds it.

    Attributes:
        label: its class in the data.
        form: one of `features.FORMATS`.
        content: the encoded image.
    """

    label: str
    form: str
    content: bytes

    def thumbnail(self, upright: bool) -> bytes:
        """Encodes the picture as a PNG with at most 160 px a side; `upright` as in `read_small`."""
        from PIL import Image as Pillow

        stream = io.BytesIO()
        Pillow.fromarray(read_small(self.content, upright, THUMBNAIL)[1]).save(stream, "PNG")
        return stream.getvalue()


@dataclass(frozen=True)
class Examples:
    """The examples of a version, or why there are none."""

    images: tuple[Example, ...] = ()
    problem: str = ""


def find_examples(serving: Path, manifest_sha256: str | None, classes: list[str]) -> Examples:
    """Finds some eval images of each class. Never raises.

    Args:
        serving: of the working directory whose runs are looked at.
        manifest_sha256: of the version's data, as its passport has it.
        classes: of the version; examples come in their order.
    """
    if not manifest_sha256:
        return Examples(problem=UNKNOWN)
    try:
        records = _find_records(serving.parent / "artifacts" / "ImageExampleGen", manifest_sha256)
        found = _pick(_read(records), classes)
    except Exception as error:  # noqa: BLE001  damaged artifacts take no answer down
        return Examples(problem=f"The examples cannot be read: {type(error).__name__}.")
    return Examples(tuple(found)) if found else Examples(problem=GONE)


def _find_records(node: Path, manifest_sha256: str) -> list[Path]:
    """Finds the eval split beside the manifest with this digest; nothing where there is none."""
    for manifest in sorted(node.glob(f"manifest/*/{features.MANIFEST_FILE}"), reverse=True):
        if digest_of(manifest) == manifest_sha256:
            split = node / "examples" / manifest.parent.name / f"Split-{features.EVAL_SPLIT}"
            return sorted(split.glob("data_tfrecord-*"))
    return []


def _read(files: list[Path]) -> Iterator[Example]:
    """Reads examples from records in turn."""
    import tensorflow as tf

    from components.files.records import open_records

    names = list(map(str, files))
    for record in open_records(names) if names else ():
        example: Any = tf.train.Example.FromString(record.numpy())
        label, form, content = (
            example.features.feature[name].bytes_list.value[0]
            for name in (features.LABEL_TEXT, features.FORMAT, features.IMAGE)
        )
        yield Example(label.decode(), form.decode(), content)


def _pick(examples: Iterator[Example], classes: list[str]) -> list[Example]:
    """Picks the first few of each class, in the order of the classes."""
    each = max(1, min(MOST_OF_A_CLASS, MOST_IMAGES // len(classes)))
    taken: Counter[str] = Counter()
    picked, left = list[Example](), MOST_BYTES
    for example in examples:
        size = len(example.content)
        if taken[example.label] < each and example.label in classes and size <= min(LARGEST, left):
            picked.append(example)
            taken[example.label] += 1
            left -= size
            if len(picked) == each * len(classes):
                break
    order = {name: index for index, name in enumerate(classes)}
    return sorted(picked, key=lambda example: order[example.label])
