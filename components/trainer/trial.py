"""A network tried before any image is read: built, folded and exported with a head of zeros.

What a pass over all images would lead to in vain is found here in seconds: weights that cannot be had or do not fit,
layers that cannot be trained, and networks that a SavedModel or a further form of export cannot hold.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.exports.table import load_forms
from components.options.trainer import OF_CLASS, TrainerOptions
from components.trainer.backbones.build import BuiltBackbone, find_source
from components.trainer.backbones.precision import build, build_half, leaves
from components.trainer.backbones.table import find_family
from components.trainer.export.signatures import NAME, ServedModel
from components.trainer.export.write import export_model
from components.trainer.features.folding import fold_backbone
from components.trainer.fine_tune.layers import unfreeze
from components.trainer.heads.head import Head

CLASSES = ["a", "b"]
SHOWN = 3  # names in an error
BLANKS = 2  # black images, where a form asks for some
RAISED, AROUND = re.compile(r"\w+Error: "), "Exception encountered when calling"  # in texts of TensorFlow and Keras


@dataclass(frozen=True)
class _Blank:
    """A transform graph that makes black images of any bytes."""

    size: tuple[int, int]

    def transform_features_layer(self) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
        """From a batch of anything to a batch of black images."""
        return lambda raw: {features.PIXELS: tf.zeros([tf.shape(raw[features.IMAGE])[0], *self.size, 3])}


def try_network(options: TrainerOptions, size: tuple[int, int], exports: Sequence[str]) -> str:
    """Tries what the options ask for, in a thread of its own: Keras' counters of names stay as they were.

    Networks of a proven family can all be exported: without further forms only their weights are looked at, and the
    layers to train.

    Args:
        options: of the Trainer.
        size: height and width in pixels.
        exports: further forms, by their names in `EXPORT_FORMS`.

    Returns:
        The path of the file that its weights come from; empty: there is none.

    Raises:
        InputError: the weights cannot be had or do not fit, or the network cannot be trained or exported.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_try, options, size, exports).result()


def _try(options: TrainerOptions, size: tuple[int, int], exports: Sequence[str]) -> str:
    is_proven = find_family(options.backbone).ARE_PROVEN  # as a SavedModel; a further form is always tried
    asks_more = options.fine_tune.asked_for or options.pooling in OF_CLASS or exports
    if options.weights == "imagenet" and is_proven and not asks_more:
        source = find_source(options.backbone, size, options.backbone_args, options.weights, options.weights_sha256)
        return source.path or ""
    built = build(options, size)
    if options.fine_tune.asked_for:
        unfreeze(built, options.pooling, options.fine_tune)
    if not is_proven and options.precision != "float32":
        build_half(options, size)
    if exports or not is_proven:
        _export(built, options, size, exports)
    return built.weights_file or ""


def _export(built: BuiltBackbone, options: TrainerOptions, size: tuple[int, int], exports: Sequence[str]) -> None:
    try:
        width = fold_backbone(built.model, built.scaling, options.pooling, options.averaged_views).width
        head = Head.blank(width, 0, len(CLASSES))
        parts: Any = (built, options.pooling, head, _Blank(size), CLASSES, options.averaged_views)
        with tempfile.TemporaryDirectory(prefix="graft-trial-") as folder:
            export_model(ServedModel(*parts), folder, {"classes": CLASSES})
            for form in load_forms(exports):
                form.write(folder, lambda count: [b""] * min(count, BLANKS))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"trainer.backbone: {options.backbone} can be read, but not be exported for serving: {_cause(error)}\n"
            + _advise(built.model)
        ) from error


def _cause(error: Exception) -> str:
    """What an error says; of one in traced code, behind the way there and Keras' words around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    named = [number for number, line in enumerate(lines) if RAISED.match(line)]
    first = named[0] if named else 0
    if AROUND in lines[first] and first + 1 < len(lines):
        first += 1
    return lines[first][:300]


def _advise(model: keras.Model) -> str:
    odd = list(dict.fromkeys(layer.name for layer in leaves(model) if not NAME.fullmatch(layer.name)))
    if not odd:
        return "Save a network of layers that TensorFlow can export, model.export('trunk') shows whether it can."
    shown = ", ".join(f"'{name}'" for name in odd[:SHOWN]) + (" and others" if len(odd) > SHOWN else "")
    return (
        f"Rename the layers {shown} and save it again: for TensorFlow a name begins with a letter or a digit, and has "
        "only letters without accents, digits, '.', '_' and '-'."
    )
