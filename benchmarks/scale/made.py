"""Generated data of one size: image files that nobody decodes, what inspections of them found, features, a model."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.contract import features
from components.example_gen.history import open_history
from components.example_gen.scan import digest_inspector, limits_of, scan_data
from components.images.findings import Inspection
from components.options.data import DataOptions
from components.sources.find import list_sources

if TYPE_CHECKING:
    from components.trainer.features.store import FeatureStore

WIDTH = 1280  # features an image, as MobileNetV2 and EfficientNetLite0 give
EVAL_FRACTION = 1 / 3
NEAR = 100  # of so many images one is a near copy of another
AT_ONCE = 1024  # images
ANSWERS = 4096  # different answers of the model
RIGHT = 0.9  # share of right answers


@dataclass(frozen=True)
class Place:
    """Where the data of one size is.

    Attributes:
        folder: of all of it.
        records: images.
        classes: classes.
    """

    folder: Path
    records: int
    classes: int

    def at(self, name: str) -> str:
        """Gives the folder of one artifact."""
        return str(self.folder / name)

    @property
    def data(self) -> str:
        """The folder of the image files."""
        return self.at("data")

    @property
    def history(self) -> str:
        """The file of what scans found."""
        return self.at("data.sqlite")

    @property
    def options(self) -> DataOptions:
        """The options of the ingest: those that are usual, and a larger eval split."""
        return DataOptions(eval_fraction=EVAL_FRACTION)

    @property
    def sample(self) -> int:
        """How many eval images the Trainer computes features of."""
        from components.trainer.outliers.typicality import count_sample

        return count_sample(features.MAX_REFUSED)

    def store(self) -> FeatureStore:
        """Gives the feature store."""
        from components.trainer.features.store import FeatureStore

        return FeatureStore(self.at("features"), {"generated": self.records})


def make_data(place: Place) -> None:
    """Makes files, the history that knows them, features and a model; nothing where all is there."""
    done = Path(place.at("made"))
    if not done.exists():
        write_files(place)
        fill_history(place)
        fill_store(place)
        write_model(place)
        done.touch()


def write_files(place: Place) -> None:
    """Writes a small JPEG an image, in a folder a class: one picture with a comment of its own in each."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(buffer, "JPEG", optimize=True)
    picture = buffer.getvalue()
    for label in range(place.classes):
        os.makedirs(f"{place.data}/class_{label:04d}", exist_ok=True)
    for number in range(place.records):
        comment = f"{number:012d}".encode()
        content = picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]
        Path(f"{place.data}/class_{number % place.classes:04d}/{number:08d}.jpg").write_bytes(content)


def fill_history(place: Place) -> None:
    """Remembers an inspection of each file: sizes of photographs, hashes at random, one in `NEAR` near another."""
    random = np.random.default_rng(place.records)
    hashes = random.integers(0, 256, (place.records, 32), np.uint8)
    copies = np.arange(NEAR, place.records, NEAR)
    hashes[copies] = hashes[copies - 1]
    hashes[copies, 0] ^= 1
    heights, widths = random.integers(200, 800, (2, place.records))
    bright, contrast = random.uniform(60, 190, place.records), random.uniform(20, 90, place.records)
    sources = list_sources(place.data, place.options).sources

    def inspected() -> Iterator[tuple[Any, Inspection]]:
        for number, source in enumerate(sources):
            yield (
                source,
                Inspection(
                    sha256=hashlib.sha256(Path(source.path).read_bytes()).hexdigest(),
                    bytes=source.size,
                    format="jpeg",
                    height=int(heights[number]),
                    width=int(widths[number]),
                    channels=3,
                    brightness=round(float(bright[number]), 2),
                    contrast=round(float(contrast[number]), 2),
                    picture_hash=hashes[number].tobytes().hex(),
                ),
            )

    with open_history(place.history) as history:
        later = time.time_ns() + 3_600_000_000_000  # the files are older than any doubt
        history.remember(inspected(), digest_inspector(limits_of(place.options)), later)


def fill_store(place: Place) -> None:
    """Keeps features of what the Trainer computes some of: the train split and its sample of the eval split.

    A mean a class and noise behind a ReLU, of which about every third is zero.
    """
    with open_history(place.history, writable=False) as history:
        rows = scan_data(list_sources(place.data, place.options), place.options, history).rows
    rows = [row for row in rows if row.is_example]
    of_eval = sorted((row.sha256, row.label) for row in rows if row.split == features.EVAL_SPLIT)
    kept = [(row.sha256, row.label) for row in rows if row.split == features.TRAIN_SPLIT] + of_eval[: place.sample]
    means, random = class_means(place), np.random.default_rng(1)
    with place.store().writing() as writer:
        for start in range(0, len(kept), AT_ONCE):
            part = kept[start : start + AT_ONCE]
            labels = np.array([int(label[-4:]) for _, label in part])
            noise = random.normal(0, 0.7, (len(part), WIDTH)).astype(np.float32)
            digests = np.array([bytes.fromhex(digest) for digest, _ in part], "S32")
            writer.add(digests, np.maximum(means[labels] + noise, 0))


def class_means(place: Place) -> np.ndarray:
    """Draws the mean features of each class, float32 [classes, WIDTH]."""
    return np.random.default_rng(0).normal(0.25, 0.35, (place.classes, WIDTH)).astype(np.float32)


def write_model(place: Place) -> None:
    """Writes a SavedModel whose answers and features are generated from the digest and the label of an example."""
    import tensorflow as tf

    random = np.random.default_rng(2)
    module = tf.Module()
    module.table = tf.Variable(random.normal(0, 1, (ANSWERS, place.classes)).astype(np.float32), trainable=False)
    module.right = tf.Variable(random.random(ANSWERS) < RIGHT, trainable=False)
    module.means = tf.Variable(class_means(place), trainable=False)
    module.noise = tf.Variable(random.normal(0, 0.7, (ANSWERS, WIDTH)).astype(np.float32), trainable=False)
    specs = {
        features.SHA256: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    }

    def answer(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, specs)
        row = tf.strings.to_hash_bucket_fast(parsed[features.SHA256], ANSWERS)
        right = tf.gather(module.right, row)
        label = tf.where(right, parsed[features.LABEL], row % place.classes)
        outlier = tf.cast(row, tf.float32) / ANSWERS
        return {
            features.OUTPUT_PROBABILITIES: tf.nn.softmax(
                tf.gather(module.table, row) + 9 * tf.one_hot(label, place.classes)
            ),
            features.OUTPUT_OUTLIER: outlier,
            features.OUTPUT_KNOWN: outlier > 0.01,
            features.OUTPUT_FEATURES: tf.nn.relu(
                tf.gather(module.means, parsed[features.LABEL]) + tf.gather(module.noise, row)
            ),
        }

    module.serve = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_EXAMPLES)])
    folder = Path(place.at("model")) / "Format-Serving"
    tf.saved_model.save(module, str(folder), signatures={features.SERVE_EXAMPLES: module.serve})
    (folder / "assets").mkdir(exist_ok=True)
    classes = [f"class_{label:04d}" for label in range(place.classes)]
    (folder / "assets" / features.LABELS_ASSET).write_text("".join(f"{name}\n" for name in classes))
    facts = {"classes": classes, "weights_sha256": "0" * 64, "feature_width": WIDTH, "image_size": [224, 224]}
    outliers = {"bank_images": ANSWERS, "calibrated_on": place.sample, "max_refused": features.MAX_REFUSED}
    facts |= {"backbone": "generated", "seed": 0, "feature_map": [7, 7], features.OUTLIERS_FACT: outliers}
    (folder / "assets" / features.FACTS_ASSET).write_text(json.dumps(facts))
    run = Path(place.at("model_run"))
    run.mkdir(parents=True, exist_ok=True)
    history = {"head": {"loss": [1.0], "accuracy": [0.9]}, "feature_keys": [place.store().key]}
    (run / features.HISTORY_FILE).write_text(json.dumps(history))
