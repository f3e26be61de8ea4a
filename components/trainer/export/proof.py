"""Proves that kept features are those that the exported model computes, and that it tells outliers as calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import numpy as np
import tensorflow as tf

from components.contract import features
from components.exports.session import Answers, open_signature
from components.trainer.outliers.typicality import Typicality, measure_distances

SAMPLE_IMAGES = 64  # images
PROOF_BATCH = 4  # images: what their decoding takes is the highest memory of a run
ROUNDED_DISTANCE = 1e-3  # what TF32 of a GPU makes of a cosine; 1e-6 measured on a CPU
# Largest difference that rounding explains, as a share of the image's largest feature. Folding to constants reorders
# sums (1e-6 to 3e-5 measured), GPUs may multiply in TF32 (11 bits of mantissa); bfloat16 has 8 bits, through all
# layers. Wrong scaling, weights, sizes or views are off by 0.3 and more.
PARITY_LIMITS = {"float32": 2e-3, "mixed_float16": 3e-2, "mixed_bfloat16": 1.5e-1}
HALF_ON_DISK = 2.0**-11  # half a unit in the last place of float16


def sample_rows(kept: np.ndarray, count: int = SAMPLE_IMAGES) -> np.ndarray:
    """Picks the rows to be proven: half from the store, half just computed, evenly spread, or more of one of them.

    Args:
        kept: bool [n], as in `Features`.
        count: how many.

    Returns:
        int [min(count, n)], sorted.
    """
    old, new = np.flatnonzero(kept), np.flatnonzero(~kept)
    of_new = min(len(new), max(count // 2, count - len(old)))
    picked = [_spread(new, of_new), _spread(old, min(len(old), count - of_new))]
    return np.sort(np.concatenate(picked))


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)] if count else rows[:0]


def parity_limit(precision: str = "float32", feature_dtype: str = "float32") -> float:
    """Gives the largest relative difference that rounding explains.

    Args:
        precision: of the feature pass, as `trainer.precision`.
        feature_dtype: on disk.
    """
    return PARITY_LIMITS[precision] + (HALF_ON_DISK if feature_dtype == "float16" else 0.0)


@contextmanager
def open_export(path: str, name: str = features.SERVE_EXAMPLES) -> Iterator[Callable[[np.ndarray], Answers]]:
    """Loads a signature of an export: from image bytes, object [batch], to its outputs by name.

    Even so a signature takes as long to begin with as some fifty images: the proof asks `serve_examples` alone, which
    gives features beside the answers; `embed` calls the same functions. What it is given are examples of the images.

    Raises:
        ValueError: the export has no such signature.
    """
    signature = open_signature(path, name, few=True)
    if signature is None:
        raise ValueError(f"{path}: expected the signature {name}, found none of this name.")
    wrap = as_examples if signature.source == features.INPUT_EXAMPLES else np.asarray
    with closing(signature):
        yield lambda images: signature.run(wrap(images), signature.outputs)


def as_examples(images: np.ndarray) -> np.ndarray:
    """Wraps encoded images, object [n], into serialized tf.Examples, object [n]."""
    examples = [tf.train.Example() for _ in images]
    for example, image in zip(examples, images, strict=True):
        example.features.feature[features.IMAGE].bytes_list.value.append(image)
    return np.array([example.SerializeToString() for example in examples], object)


def answer_images(ask: Callable[[np.ndarray], Answers], images: np.ndarray) -> Answers:
    """Asks an export about images, bytes as object [n], a few at a time: its outputs by name, [n, ...] each.

    Args:
        ask: of `open_export`.
        images: at least one.
    """
    starts = range(0, len(images), PROOF_BATCH)
    parts = [ask(images[start : start + PROOF_BATCH]) for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def check_parity(
    stored: np.ndarray, served: np.ndarray, digests: np.ndarray, limit: float = PARITY_LIMITS["float32"]
) -> float:
    """Compares features that the head is trained on with those of the exported model.

    Args:
        stored: float32 [n, d].
        served: float32 [n, d], what the export says of the same images.
        digests: [n], hex digests of the images' source files.
        limit: as a share of the image's largest feature, see `parity_limit`.

    Returns:
        The largest difference, as such a share.

    Raises:
        RuntimeError: it is above the limit or no number; names the image, the measured value and the limit.
    """
    if served.shape != stored.shape:
        raise RuntimeError(f"The kept features are of shape {stored.shape}, the export's are {served.shape}.")
    size = np.abs(served).max(axis=1)
    differences = np.abs(stored - served).max(axis=1) / np.maximum(size, np.finfo(np.float32).tiny)
    worst = int(np.argmax(np.where(np.isfinite(differences), differences, np.inf)))
    if not differences[worst] <= limit:
        raise RuntimeError(
            f"Kept features are not what the exported model computes: expected a difference of at most {limit:.1e} of "
            f"the largest feature, measured {differences[worst]:.1e} for image {digests[worst].decode()}, "
            f"over {len(stored)} images.\nDelete features/ of the working directory and start the run again; if it "
            "fails once more, the export and the training path differ."
        )
    return float(differences[worst])


def check_outliers(typicality: Typicality, answers: Answers) -> None:
    """Compares `outlier` and `known` of the export with what the calibration gives for the same features.

    An answer is a step of the distance, so that rounding may move it: it must be one that the calibration gives within
    a hair of the image's distance.

    Args:
        typicality: what the export was made with.
        answers: of `answer_images`.

    Raises:
        RuntimeError: the export answers otherwise; names both answers.
    """
    distances = measure_distances(answers[features.OUTPUT_FEATURES], typicality.bank, typicality.neighbours)
    low, high = (typicality.share_beyond(distances + shift) for shift in (ROUNDED_DISTANCE, -ROUNDED_DISTANCE))
    found, known = answers[features.OUTPUT_OUTLIER], answers[features.OUTPUT_KNOWN]
    wrong = ~((found >= low) & (found <= high) & (known == (found > np.float32(typicality.max_refused))))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise RuntimeError(
            f"The exported model does not tell outliers as they were calibrated: expected {features.OUTPUT_OUTLIER} of "
            f"{low[row]:.4f} to {high[row]:.4f} for image {row} of the proof, got {found[row]:.4f}, "
            f"{features.OUTPUT_KNOWN} {bool(known[row])}.\nDelete features/exports of the working directory and start "
            "the run again; if it fails once more, the export and the training path differ."
        )
