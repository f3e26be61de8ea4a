"""Small pictures in the page: asked for by sections, read in one pass over the examples, held once each.

A picture is a WebP image in a `data:` URL. How many fit into the page is bounded by bytes, so that the page of 100,000
images is no larger than that of 3,000; what was asked for first is there first.
"""

from __future__ import annotations

import base64
import io
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from components.contract import features
from components.files.paths import list_names

if TYPE_CHECKING:
    from components.exports.session import AskedSignature

SIDE = 112  # px, of the longer side of a thumbnail
OVERLAY_SIDE = 160  # px, of the longer side of a picture with an activation map
QUALITY = 70  # of WebP
PICTURE_BYTES = 9_000_000  # of all pictures in a page
BATCH = 32  # pictures that are drawn and explained at once: no more encoded images are in memory
AT_ONCE = 16  # examples that are parsed together

log = logging.getLogger("graft.report")


@dataclass
class Pictures:
    """The pictures that sections asked for.

    Attributes:
        limit: bytes that all pictures together may take.
        thumbs: {sha256 of an image: side in px}, in the order in which they were asked for.
        maps: {sha256 of an image}: those whose activation map is wanted, too; the same order.
        drawn: {key: `data:` URL} of pictures that are in no example, such as rejected files; few.
    """

    limit: int = PICTURE_BYTES
    thumbs: dict[str, int] = field(default_factory=dict)
    maps: dict[str, None] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)

    def want(self, sha256: str, side: int = SIDE) -> str:
        """Asks for the thumbnail of an example; gives its key in the page's pictures."""
        self.thumbs[sha256] = max(side, self.thumbs.get(sha256, 0))
        return sha256

    def want_map(self, sha256: str) -> str:
        """Asks for the picture of an example under the activation map of the label that the model answers."""
        self.maps[sha256] = None
        return f"{sha256}/map"

    def add(self, key: str, content: bytes) -> str:
        """Draws a picture that is in no example; gives its key, or an empty text where it does not decode."""
        if url := draw_thumbnail(content):
            self.drawn[key] = url
        return key if url else ""

    def fetch(self, examples: str, model: str, facts: dict[str, Any]) -> dict[str, str]:
        """Reads the pictures from the examples: {key: `data:` URL}; those beyond the limit are not there.

        Args:
            examples: folder of the Examples artifact.
            model: the SavedModel that explains; empty: no activation maps.
            facts: of the model, `assets/graft.json`.
        """
        upright = facts.get("orientation", features.OLD_READING["orientation"]) == "apply"
        made: dict[str, str] = {}
        with ThreadPoolExecutor() as pool, _loading_explain(pool, model if self.maps else "") as explain:
            for part in _in_batches(read_examples(examples, {*self.thumbs, *self.maps})):
                maps = {sha: content for sha, content in part if sha in self.maps}
                explained = pool.submit(draw_maps, explain, facts, maps, upright) if maps else None
                thumbs = [(sha, content) for sha, content in part if sha in self.thumbs]
                drawn = pool.map(lambda row: draw_thumbnail(row[1], self.thumbs[row[0]], upright), thumbs)
                made |= {sha: url for (sha, _), url in zip(thumbs, drawn, strict=True)}
                made |= explained.result() if explained else {}
        return self._within_limit(made)

    def _within_limit(self, made: dict[str, str]) -> dict[str, str]:
        """Keeps the pictures that fit, maps first, each kind in the order in which they were asked for."""
        kept, taken = dict[str, str](), 0
        for key in (*(f"{sha}/map" for sha in self.maps), *self.thumbs):
            url = made.get(key, "")
            if url and taken + len(url) <= self.limit:
                kept[key], taken = url, taken + len(url)
        return kept


def _in_batches(rows: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    while part := list(itertools.islice(rows, BATCH)):
        yield part


def read_examples(examples: str, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Reads sha256 and encoded image of some examples, one pass over the records of both splits."""
    import tensorflow as tf  # the page of a run that was refused early is made without it

    from components.files.records import open_records

    if not wanted:
        return
    shape = {name: tf.io.FixedLenFeature([], tf.string) for name in (features.SHA256, features.IMAGE)}
    for records in open_records(_record_files(examples)).batch(AT_ONCE).prefetch(1):
        parsed = tf.io.parse_example(records, shape)
        digests = [digest.decode() for digest in parsed[features.SHA256].numpy()]
        chosen = [place for place, digest in enumerate(digests) if digest in wanted]
        if chosen:
            images = tf.gather(parsed[features.IMAGE], chosen).numpy()
            yield from zip([digests[place] for place in chosen], images, strict=True)


def _record_files(examples: str) -> list[str]:
    folders = [os.path.join(examples, f"Split-{split}") for split in features.SPLITS]
    return [os.path.join(folder, name) for folder in folders for name in list_names(folder, "")]


def draw_thumbnail(content: bytes, side: int = SIDE, upright: bool = True) -> str:
    """Draws a small picture of an encoded image as a `data:` URL; empty where the image does not decode."""
    from components.images.overlay import read_small

    try:
        return to_url(read_small(content, upright, side)[1])
    except Exception as error:  # noqa: BLE001  whatever Pillow raises: the row stands without a picture
        log.info("no thumbnail: %s", error)
        return ""


@contextmanager
def _loading_explain(pool: ThreadPoolExecutor, model: str) -> Iterator[Callable[[], AskedSignature | None]]:
    """Loads the `explain` signature in a thread; gives a function that waits for it, and frees it at the end.

    Without a model it gives None, as where the model has no such signature.
    """
    loading = pool.submit(lambda: load_explain(model) if model else None)
    try:
        yield loading.result
    finally:
        if not loading.exception() and (explain := loading.result()) is not None:
            explain.close()


def load_explain(model: str) -> AskedSignature | None:
    """Loads the `explain` signature of a SavedModel; None where it has none, as a backbone without maps.

    Its first answer takes a third of a second: it is about an image of one pixel, and forgotten.
    """
    from components.exports.session import open_signature  # TensorFlow

    explain = open_signature(model, features.EXPLAIN, few=True)
    if explain is not None:
        with suppress(Exception):
            explain.run(np.array([_encode_pixel()], object), [features.OUTPUT_CAM])
    return explain


def _encode_pixel() -> bytes:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def draw_maps(
    explain: Callable[[], AskedSignature | None], facts: dict[str, Any], contents: dict[str, bytes], upright: bool
) -> dict[str, str]:
    """Draws images under the activation map of the model's answer: {key of the picture: `data:` URL}.

    With average pooling and a dense head the map adds up to the logit, without any gradient (Zhou et al., 2016,
    arXiv:1512.04150).

    Args:
        explain: gives the signature; without one nothing is drawn.
        facts: of the model, `assets/graft.json`.
        contents: {sha256: encoded image}.
        upright: whether the model turns JPEGs by their orientation.
    """
    from components.images.overlay import draw_overlay

    signature = explain()
    if signature is None:
        return {}
    crop = tuple(facts["image_size"]) if facts.get(features.CROP_FACT) else None
    answers = signature.run(np.array(list(contents.values()), object), [features.OUTPUT_CAM])
    maps = zip(contents.items(), answers[features.OUTPUT_CAM], strict=True)
    return {
        f"{sha}/map": to_url(draw_overlay(content, activation, crop, upright, OVERLAY_SIDE))
        for (sha, content), activation in maps
    }


def to_url(pixels: np.ndarray) -> str:
    """Encodes uint8 [height, width, 3] as WebP in a `data:` URL."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
