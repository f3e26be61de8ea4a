"""One version of a model in memory: its signatures, what they take, and what clients may know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from components.contract import features
from components.images.findings import ImageLimits
from components.registry import versions
from components.registry.find import class_names, crop_target
from components.registry.verify import check_folder
from pipeline.predict.reading import DEFAULT_LIMITS, limits_for
from pipeline.process.footprint import load_tensorflow
from pipeline.serve.about import describe_version
from pipeline.serve.rest import invalid
from pipeline.serve.tensors import Spec, element_error


@dataclass(eq=False)
class LoadedVersion:
    """A SavedModel, ready to answer.

    Attributes:
        number: of the version.
        names: of the classes.
        specs: inputs by signature.
        signature_defs: as JSON, in TensorFlow Serving's form.
        crop: of `crop_target`.
        limits: what images may be, and how they are read for it.
        about: of `describe_version`.
    """

    number: int
    names: list[str]
    specs: dict[str, dict[str, Spec]]
    signature_defs: dict[str, Any]
    _functions: dict[str, Callable[..., dict[str, Any]]] = field(repr=False)
    crop: tuple[int, int] | None = None
    limits: ImageLimits = DEFAULT_LIMITS
    about: dict[str, Any] = field(default_factory=dict)

    def inputs_of(self, signature: str) -> dict[str, Spec]:
        """Gives the inputs of a signature.

        Raises:
            ServingError: there is no such signature.
        """
        if signature not in self.specs:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        return self.specs[signature]

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on inputs that fit; gives its outputs by name."""
        import tensorflow as tf

        specs = self.specs[signature]
        tensors = {name: tf.constant(array, specs[name].dtype) for name, array in inputs.items()}
        return {name: output.numpy() for name, output in self._functions[signature](**tensors).items()}


def load_version(folder: Path, max_batch: int) -> LoadedVersion:
    """Loads a SavedModel and warms it up, so that its first request is as fast as the others.

    Args:
        folder: of the version; its name is the number where it is one, else the number is 1.
        max_batch: the largest batch that it will see.

    Raises:
        InputError: it is not as it was pushed.
    """
    check_folder(folder)
    tf = load_tensorflow()
    functions = dict(tf.saved_model.load(str(folder)).signatures)
    specs = {
        name: {
            key: Spec(spec.dtype.name, tuple(-1 if size is None else size for size in spec.shape))
            for key, spec in function.structured_input_signature[1].items()
        }
        for name, function in functions.items()
    }
    number = int(folder.name) if folder.name.isdecimal() else 1
    definitions = _read_signature_defs(folder)
    reading = crop_target(folder), limits_for(folder), describe_version(folder)
    loaded = LoadedVersion(number, class_names(folder), specs, definitions, functions, *reading)
    _warm_up(loaded, max_batch)
    return loaded


def _warm_up(loaded: LoadedVersion, max_batch: int) -> None:
    for signature, specs in loaded.specs.items():
        for name in specs:
            if name in ROWS and len(specs) == 1:
                for size in (1, max_batch):
                    loaded.run(signature, {name: np.array([ROWS[name]()] * size, object)})


@cache
def _grey_png() -> bytes:
    import tensorflow as tf

    return bytes(tf.io.encode_png(np.full([8, 8, 3], 128, np.uint8)).numpy())


def _grey_example() -> bytes:
    return bytes(pack_examples([_grey_png()]).item())


def pack_examples(images: Iterable[bytes]) -> np.ndarray:
    """Makes a serialized `tf.Example` of each image, with the feature that the signature reads."""
    import tensorflow as tf

    packed = list[bytes]()
    for content in images:
        image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
        example = tf.train.Example(features=tf.train.Features(feature={features.IMAGE: image}))
        packed.append(example.SerializeToString())
    return np.array(packed, object)


def unpack_examples(rows: Iterable[bytes]) -> list[bytes]:
    """Reads the image of each serialized `tf.Example`.

    Raises:
        ServingError: 400, names the row that is none, or has not one image.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    images = list[bytes]()
    for index, row in enumerate(rows):
        try:
            example: Any = tf.train.Example.FromString(row)
        except DecodeError:
            raise element_error(index, features.INPUT_EXAMPLES, "Could not parse example input") from None
        found = example.features.feature
        values = found[features.IMAGE].bytes_list.value if features.IMAGE in found else []
        if len(values) != 1:
            message = f"Feature: {features.IMAGE} is to hold one image, got: {len(values)}"
            raise element_error(index, features.INPUT_EXAMPLES, message)
        images.append(bytes(values[0]))
    return images


ROWS: dict[str, Callable[[], bytes]] = {features.INPUT_BYTES: _grey_png, features.INPUT_EXAMPLES: _grey_example}


def _read_signature_defs(folder: Path) -> dict[str, Any]:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / versions.SAVED_MODEL_FILE).read_bytes())
    return {
        name: {
            "inputs": {key: _describe_tensor(info) for key, info in definition.inputs.items()},
            "outputs": {key: _describe_tensor(info) for key, info in definition.outputs.items()},
            "method_name": definition.method_name,
            "defaults": {},
        }
        for name, definition in saved.meta_graphs[0].signature_def.items()
    }


def _describe_tensor(info: Any) -> dict[str, Any]:
    from tensorflow.core.framework import types_pb2

    shape = info.tensor_shape
    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {
            "dim": [{"size": str(dim.size), "name": dim.name} for dim in shape.dim],
            "unknown_rank": shape.unknown_rank,
        },
        "name": info.name,
    }
