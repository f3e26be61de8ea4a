"""A model in the memory of this process, asked about images in any form that Python has them in."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from components.contract import features
from components.errors import InputError
from components.files.paths import is_remote
from pipeline.predict.answers import BATCH, READERS, Model, Prediction, answer_batch, load_model
from pipeline.predict.inputs import find_inputs
from pipeline.predict.reading import Image, check_image, read_image

FORMS = "paths, encoded bytes, PIL images, or uint8 arrays [height, width, 3] with values 0..255"
CHANNELS = (1, 3, 4)  # of arrays: grey, RGB, RGBA
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # of PIL's, those that a PNG holds as they are
UNCLEAR_MODES = ("F", "I")  # of PIL's: nothing says which value is white
Named = tuple[str, Any]


@dataclass(frozen=True)
class Classifier:
    """A loaded model.

    Attributes:
        path: the SavedModel's folder.
        notice: why the model was not pushed, by which gate; empty for a pushed version.
        model: its signatures, names of classes, and how images are read for it.
    """

    path: Path
    notice: str
    model: Model

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the label index."""
        return self.model.names

    def predict(self, images: Any, batch_size: int = BATCH) -> list[Prediction]:
        """Answers with label and probabilities for each image, as `graft predict` does.

        Args:
            images: one image or an iterable of them: paths (files, folders, globs, manifests), encoded bytes, PIL
                images, or uint8 arrays [height, width], [height, width, 1], [height, width, 3] or [height, width, 4]
                with values 0..255; an array [images, height, width, channels] is several.
            batch_size: images that the model sees at once.

        Returns:
            An answer an image, in their order: `label`, `probability` 0..1, `probabilities` by class, `flags`,
            `outlier` 0..1 and `known`, which are None of a version that does not say them. An image that cannot be
            used has an `error` and an empty label; the others are answered all the same.

        Raises:
            InputError: something is no image at all, such as an array of floats.
        """
        return [row for chunk in self._read(images, batch_size) for row in answer_batch(self.model, chunk)]

    def embed(self, images: Any, batch_size: int = BATCH) -> np.ndarray:
        """Computes the pooled features of the backbone: float32 [images, features].

        Raises:
            InputError: an image cannot be used; names it and says why.
        """
        return self._run(features.EMBED, features.OUTPUT_FEATURES, images, batch_size)

    def explain(self, images: Any, batch_size: int = BATCH) -> np.ndarray:
        """Computes where the evidence for each image's label is: float32 [images, rows, columns], 0..1.

        Raises:
            InputError: an image cannot be used, or the model has no maps: its backbone gives vectors, without places.
        """
        return self._run(features.EXPLAIN, features.OUTPUT_CAM, images, batch_size)

    def _run(self, signature: str, output: str, images: Any, batch_size: int) -> np.ndarray:
        if signature not in self.model.signatures:
            raise InputError(f"{self.path} has no signature `{signature}`: its backbone gives vectors, without places.")
        parts = list[np.ndarray]()
        for chunk in self._read(images, batch_size):
            if bad := next((image for image in chunk if image.error), None):
                raise InputError(f"{bad.name}: {bad.error}.\nLeave this image out; `predict` answers the others.")
            parts.append(self.model.run(signature, output, [image.content for image in chunk]))
        if not parts:
            raise InputError(f"Expected images, got none. Give {FORMS}.")
        return np.concatenate(parts)

    def _read(self, images: Any, batch_size: int) -> Iterator[list[Image]]:
        """Reads and checks images as ingest does, a batch at a time."""
        named = name_images(images)
        with ThreadPoolExecutor(READERS) as pool:
            while chunk := list(islice(named, batch_size)):
                yield list(pool.map(self._check, chunk))

    def _check(self, named: Named) -> Image:
        name, image = named
        limits = self.model.limits
        if image is None:
            return read_image(name, limits)
        if not isinstance(image, bytes):
            image = encode_picture(image, limits.upright)
        return check_image(name, image, limits)

    def __repr__(self) -> str:
        said = f", {self.notice}" if self.notice else ""
        return f"<Classifier of {len(self.classes)} classes, {self.path}{said}>"


def load_classifier(folder: Path, notice: str = "") -> Classifier:
    """Loads a SavedModel; `notice` is of `Classifier`.

    Raises:
        InputError: there is no such model, it is not as it was pushed, or Graft did not make it.
    """
    return Classifier(folder, notice, load_model(str(folder)))


def name_images(images: Any) -> Iterator[Named]:
    """Yields the name of each image, and the image where it is no file: bytes, a PIL image, or an array.

    Raises:
        InputError: something is no image.
    """
    if _is_one(images):
        images = [images]
    elif not isinstance(images, Iterable):
        raise InputError(f"Expected {FORMS}, got {_describe(images)}.")
    for index, image in enumerate(images):
        if isinstance(image, (str, Path)):
            if is_remote(str(image)):
                raise InputError(f"Expected images on this machine, got {image}.\nCopy it to a folder first.")
            yield from ((path, None) for path in find_inputs([str(image)]))
        elif _is_one(image):
            _check_form(image, index)
            yield f"image {index}", bytes(image) if isinstance(image, (bytearray, memoryview)) else image
        else:
            raise InputError(f"Image {index}: expected {FORMS}; got {_describe(image)}.")


def _is_one(image: Any) -> bool:
    """Whether it is one image in itself, and not several."""
    if isinstance(image, (str, Path, bytes, bytearray, memoryview)) or _is_pillow(image):
        return True
    return hasattr(image, "shape") and hasattr(image, "__array__") and len(image.shape) <= 3


def _is_pillow(image: Any) -> bool:
    return hasattr(image, "convert") and hasattr(image, "getbands")


def _describe(image: Any) -> str:
    if hasattr(image, "dtype") and hasattr(image, "shape"):
        return f"an array {list(image.shape)} of {getattr(image.dtype, 'name', image.dtype)}"
    return f"{type(image).__name__}"


def _check_form(image: Any, index: int) -> None:
    """Refuses arrays that could be read in several ways: floats may be 0..1, -1..1 or 0..255."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return
    if _is_pillow(image):
        if image.mode in UNCLEAR_MODES:
            raise InputError(f"Image {index}: expected a picture of 8 or 16 bits a value, got PIL's mode {image.mode}.")
        return
    array = np.asarray(image)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)
    if array.dtype != np.uint8 or not fits or not array.size:
        raise InputError(
            f"Image {index}: expected uint8 [height, width, 3] with values 0..255, got {_describe(array)}.\n"
            "Values 0..1 become such an array by: (255 * image).round().astype('uint8')"
        )


def encode_picture(image: Any, upright: bool) -> bytes:
    """Encodes a picture as a PNG of the same pixels.

    Args:
        image: of PIL, or a uint8 array as `Classifier.predict` takes it.
        upright: whether an orientation tag that a PIL image still has is applied, as it is to files.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if not _is_pillow(image):
        array = np.asarray(image)
        image = Pillow.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    picture: Any = ImageOps.exif_transpose(image) if upright else image
    if picture.mode not in PNG_MODES:
        picture = picture.convert("RGB")
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1, exif=b"")
    return file.getvalue()
