"""Exports kept without their head: tracing and writing four signatures takes seconds, and a head changes none of it.

    features/exports/<digest of all but the head's values>.export     a sealed zip: graph and variables of an export

A run whose backbone, transform graph, classes, pooling, head's shape and code are those of a kept export copies it and
puts its own head's values among the variables. What comes out is proven like any other export. A file that is missing
or damaged is traced again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model import fingerprinting_utils  # there is no public way to write it

from components.files.atomic import file_errors, make_folder, seal, unseal, write_atomically
from components.trainer.devices.cluster import is_chief
from components.trainer.features.store import EXPORT, USED
from components.trainer.heads.head import Head

FOLDER = "exports"
GRAPH, VARIABLES, FINGERPRINT = "saved_model.pb", "variables", "fingerprint.pb"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's ending for a variable in a checkpoint

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class Template:
    """The place of one kept export.

    Attributes:
        root: `features/` of the working directory, local or remote.
        facts: JSON values, all that decides an export but the values of its head. Library versions are added.
    """

    root: str
    facts: dict[str, Any]

    @property
    def path(self) -> str:
        """Its file."""
        import keras

        facts = {**self.facts, "tensorflow": tf.__version__, "keras": keras.__version__}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return os.path.join(self.root, FOLDER, f"{digest}{EXPORT}")

    def keep(self, export: str) -> None:
        """Takes graph and variables of an export; one that cannot be written costs time later, no more."""
        if not is_chief():
            return
        try:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in _files_of(export):
                    with tf.io.gfile.GFile(os.path.join(export, name), "rb") as file:
                        archive.writestr(name, file.read())
            make_folder(os.path.dirname(self.path))
            write_atomically(self.path, seal(buffer.getvalue()))
        except file_errors() as error:
            log.warning("%s could not be kept, the next export is traced again: %s", self.path, error)

    def fill(self, head: Head, export: str) -> bool:
        """Writes an export with this head; False where nothing usable is kept, and then nothing is written.

        Raises:
            OSError, tf.errors.OpError: the export cannot be written.
        """
        unusable: tuple[type[Exception], ...] = (ValueError, KeyError, zipfile.BadZipFile, *file_errors())
        with tempfile.TemporaryDirectory() as scratch:
            try:
                with tf.io.gfile.GFile(self.path, "rb") as file:
                    content = unseal(file.read())
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    archive.extractall(scratch)
                names, values = _with_head(os.path.join(scratch, VARIABLES, VARIABLES), head)
            except tf.errors.NotFoundError:
                return False
            except unusable as error:
                log.warning("%s is not usable, the export is traced again: %s", self.path, error)
                return False
            tf.io.gfile.makedirs(os.path.join(export, VARIABLES))
            prefix = os.path.join(export, VARIABLES, VARIABLES)
            tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
            with tf.io.gfile.GFile(os.path.join(export, GRAPH), "wb") as file:
                file.write(Path(scratch, GRAPH).read_bytes())
        fingerprinting_utils.write_fingerprint(export)
        if is_chief():
            with suppress(*file_errors()):
                write_atomically(self.path + USED, f"{time.time():.0f}".encode())
        return True


def _files_of(export: str) -> list[str]:
    folder = os.path.join(export, VARIABLES)
    return [GRAPH, *(os.path.join(VARIABLES, name) for name in sorted(tf.io.gfile.listdir(folder)))]


def _with_head(prefix: str, head: Head) -> tuple[list[str], list[Any]]:
    """Names and values of a checkpoint's variables, the head's replaced.

    Raises:
        KeyError, ValueError: its head is of another shape.
    """
    reader = tf.train.load_checkpoint(prefix)
    values = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    for name, array in head_variables(head).items():
        found = values[name + VALUE]
        if found.shape != array.shape:
            raise ValueError(f"expected {name} of shape {array.shape}, found {found.shape}")
        values[name + VALUE] = array
    return list(values), [tf.constant(value) for value in values.values()]


def head_variables(head: Head) -> dict[str, np.ndarray]:
    """The head's arrays by the names of `ServedModel`'s attributes."""
    hidden = {f"hidden/{number}": array for number, array in enumerate(head.hidden or ())}
    return {"kernel": head.kernel, "bias": head.bias, **hidden}
