"""The export splice: exports are kept without their head, and a run that changed only the head puts its own in.

What tells outliers goes the same way: like the head it is a few variables, made of this run's data.

    features/exports/<digest of all but the head's values>.export     a sealed zip: graph and variables of an export

Why: building the network, tracing and writing the signatures are 10 of the 11.7 s of a run of the Trainer with another
learning rate (cats and dogs, MobileNetV2), and the export differs from the last one in 2,562 numbers.

What makes the splice safe: the key holds everything that decides an export, the code behind the Trainer and the
libraries' versions among it; the content is sealed, and what is missing or damaged is traced again; shapes are
compared; and what comes out is proven like any other export (`proof.py`). All that knows of TensorFlow's checkpoint
format is in this module; without it `export` traces each time, and nothing else changes.
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

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.saved_model import fingerprinting_utils  # there is no public way to write it

from components.contract import features
from components.files.digests import seal, unseal
from components.files.paths import make_folder, read_bytes, write_atomically
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.devices.tf_config import is_chief
from components.trainer.features.store import EXPORT, USED
from components.trainer.features.store_key import recall_transform_digest
from components.trainer.heads.head import Head
from components.trainer.outliers.typicality import Typicality

EXPORTS_FOLDER = "exports"
# Facts that tell heads and banks apart, not what is around them.
OF_THE_HEAD = ("head_sha256", "weights_sha256", "seed", "tuned", features.TEMPERATURE_FACT, features.OUTLIERS_FACT)
GRAPH, VARIABLES = "saved_model.pb", "variables"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's ending for a variable in a checkpoint

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class KeptExport:
    """The place where one export is kept without its head.

    Attributes:
        root: `features/` of the working directory, local or remote.
        facts: JSON values, all that decides an export but the values of its head. Library versions are added.
    """

    root: str
    facts: dict[str, Any]

    @property
    def path(self) -> str:
        """The sealed zip."""
        facts = {**self.facts, "tensorflow": tf.__version__, "keras": keras.__version__}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return os.path.join(self.root, EXPORTS_FOLDER, f"{digest}{EXPORT}")

    def keep(self, export: str) -> None:
        """Keeps graph and variables of an export; where that fails, the next one takes longer, no more."""
        if not is_chief():
            return
        try:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in _files_of(export):
                    archive.writestr(name, read_bytes(os.path.join(export, name)))
            make_folder(os.path.dirname(self.path))
            write_atomically(self.path, seal(buffer.getvalue()))
        except OSError as error:
            log.warning("%s could not be kept, the next export is traced again: %s", self.path, error)

    def write_with(self, head: Head, typicality: Typicality, export: str) -> bool:
        """Writes an export with these; False where nothing usable is kept, and then nothing is written.

        Raises:
            OSError, tf.errors.OpError: the export cannot be written.
        """
        unusable: tuple[type[Exception], ...] = (ValueError, KeyError, OSError, tf.errors.OpError, zipfile.BadZipFile)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                content = unseal(read_bytes(self.path))
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    archive.extractall(scratch)
                names, values = _with_parts(os.path.join(scratch, VARIABLES, VARIABLES), head, typicality)
            except FileNotFoundError:
                return False
            except unusable as error:
                log.warning("%s is not usable, the export is traced again: %s", self.path, error)
                return False
            tf.io.gfile.makedirs(os.path.join(export, VARIABLES))
            prefix = os.path.join(export, VARIABLES, VARIABLES)
            # There is no public way to change values of a checkpoint by the names that the graph finds them by.
            tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
            with tf.io.gfile.GFile(os.path.join(export, GRAPH), "wb") as file:
                file.write(Path(scratch, GRAPH).read_bytes())
        fingerprinting_utils.write_fingerprint(export)
        if is_chief():
            with suppress(OSError):
                write_atomically(self.path + USED, f"{time.time():.0f}".encode())
        return True


def find_place(
    transform: tft.TFTransformOutput, facts: dict[str, Any], known: AnswerCache, code: str
) -> KeptExport | None:
    """Gives the place of the export that differs from this one in the head's values alone; None where none is kept.

    Args:
        transform: the transform graph.
        facts: of `describe_model`.
        known: where exports are kept; its root may be empty.
        code: digest of the code that traces; may be empty.
    """
    if not known.root or not code:
        return None
    around = {name: value for name, value in facts.items() if name not in OF_THE_HEAD}
    return KeptExport(
        known.root, {**around, "transform_sha256": recall_transform_digest(transform, known), "code": code}
    )


def _files_of(export: str) -> list[str]:
    folder = os.path.join(export, VARIABLES)
    return [GRAPH, *(os.path.join(VARIABLES, name) for name in sorted(tf.io.gfile.listdir(folder)))]


def _with_parts(prefix: str, head: Head, typicality: Typicality) -> tuple[list[str], list[Any]]:
    """Reads names and values of a checkpoint's variables, and replaces those of the head and of what tells outliers.

    Raises:
        KeyError, ValueError: its head is of another shape, or its features are of another width.
    """
    reader = tf.train.load_checkpoint(prefix)
    values = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    of_outliers = {f"outliers/{name}": array for name, array in typicality.variables().items()}
    for name, array in {**head_variables(head), **of_outliers}.items():
        found, free = values[name + VALUE], int(name in of_outliers)  # their graph takes any number of rows
        if found.shape[free:] != array.shape[free:] or found.dtype != array.dtype:
            raise ValueError(f"expected {name} of shape {array.shape}, found {found.shape}")
        values[name + VALUE] = array
    return list(values), [tf.constant(value) for value in values.values()]


def head_variables(head: Head) -> dict[str, np.ndarray]:
    """Names the head's arrays as the attributes of `ServedModel`."""
    hidden = {f"hidden/{number}": array for number, array in enumerate(head.hidden or ())}
    return {"kernel": head.kernel, "bias": head.bias, **hidden}
