"""Features of the run's images for the page: those that the Trainer kept, or a few that the model computes again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from components.contract import features
from components.example_gen.manifest import Row
from components.report.inputs import EXAMPLES, ReportInputs
from components.report.pictures import read_examples

FEATURE_BYTES = 256_000_000  # of all features that are held at once
COMPUTED_SECONDS = 3.0  # for features that nobody kept
FEWEST, MOST = 64, 512  # images that are computed
SLOWEST = 20.0  # images a second, where no rate was measured
BATCH = 16
NOTHING = "No features of the images are at hand: the run kept none, or they were pruned, and there is no model to ask."

log = logging.getLogger("graft.report")


@dataclass(frozen=True)
class KnownFeatures:
    """Images with their features.

    Attributes:
        rows: of the manifest, one an image.
        values: float32 [images, d].
        note: what is not here, for people; empty: all images are.
    """

    rows: list[Row]
    values: np.ndarray
    note: str = ""


def gather_features(inputs: ReportInputs) -> KnownFeatures:
    """Reads kept features of all images, or of as many at random as memory allows; computes some where none are kept.

    Returns:
        The images; none where there are neither features nor a model, which the note says.
    """
    rows = list(inputs.row_of.values())[::-1]  # as in the manifest
    width = max(int(inputs.facts.get("feature_width", 0)), 1)
    most = FEATURE_BYTES // (4 * width)
    asked = draw_rows(rows, most)
    values, found = inputs.read_features([row.sha256 for row in asked])
    of_train = np.array([row.split == features.TRAIN_SPLIT for row in asked], bool)
    if of_train.any() and not found[of_train].any():
        found[:] = False  # those of eval images alone tell nothing of what was learned from
    if found.all() and len(found):
        note = (
            f"a random {len(asked):,} of {len(rows):,} images, as many as fit into memory"
            if len(asked) < len(rows)
            else ""
        )
        return KnownFeatures(asked, values, note)
    if found.any():
        note = f"{int(found.sum()):,} of {len(rows):,} images: the features of the others are no longer kept"
        return KnownFeatures([row for row, there in zip(asked, found, strict=True) if there], values[found], note)
    return (
        compute_features(inputs, rows)
        if inputs.model and EXAMPLES in inputs.uris
        else KnownFeatures([], values, NOTHING)
    )


def draw_rows(rows: list[Row], most: int, seed: int = 0) -> list[Row]:
    """Draws rows at random, in their order; all where there are no more than `most`."""
    if len(rows) <= most:
        return rows
    return [rows[index] for index in np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]


def compute_features(inputs: ReportInputs, rows: list[Row]) -> KnownFeatures:
    """Asks the model's `embed` signature about as many images as some seconds allow, drawn at random."""
    import tensorflow as tf

    rate = float(inputs.history.get("images_per_second") or SLOWEST)
    asked = draw_rows(rows, int(np.clip(rate * COMPUTED_SECONDS, FEWEST, MOST)))
    embed = tf.saved_model.load(inputs.model).signatures.get(features.EMBED)
    if embed is None:
        return KnownFeatures([], np.zeros([0, 0], np.float32), NOTHING)
    found, batch = dict[str, np.ndarray](), list[tuple[str, bytes]]()
    for example in read_examples(inputs.uris[EXAMPLES], {row.sha256 for row in asked}):
        batch.append(example)
        if len(batch) == BATCH:
            found |= _embed(embed, batch)
            batch = []
    found |= _embed(embed, batch) if batch else {}
    kept = [row for row in asked if row.sha256 in found]
    log.info("features of %d images were computed for the page", len(kept))
    note = (
        f"{len(kept):,} of {len(rows):,} images, drawn at random: no features are kept, and computing more takes long"
    )
    values = np.stack([found[row.sha256] for row in kept]) if kept else np.zeros([0, 0], np.float32)
    return KnownFeatures(kept, values, note if len(kept) < len(rows) else "")


def _embed(embed: object, batch: list[tuple[str, bytes]]) -> dict[str, np.ndarray]:
    import tensorflow as tf

    contents = tf.constant([content for _, content in batch])
    values = embed(**{features.INPUT_BYTES: contents})[features.OUTPUT_FEATURES].numpy()  # type: ignore[operator]
    return dict(zip([sha for sha, _ in batch], values, strict=True))
