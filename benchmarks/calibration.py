"""Calibration error of the head's probabilities before and after its temperature, on images that no part of it saw.

    python benchmarks/calibration.py cats_and_dogs_filtered --weights mobilenet_v2_0.35_no_top.h5

The folder has `train` and `validation`, each with a folder a class. Each row draws so many images a class from `train`,
once a seed, trains the Trainer's head (`train_head`) and finds the temperature as the Trainer does (`calibrate`); both
are measured on all of `validation`. ECE: 15 bins of equal width of the top probability (Guo et al. 2017).
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HEADS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "l2: 0": {"l2": 0.0},
    "label_smoothing: 0.2": {"label_smoothing": 0.2},
    "hidden_units: 64, l2: 0": {"hidden_units": 64, "l2": 0.0},
}
COUNTS = {"as it comes": (0, 250, 100, 25, 15)}  # images a class; 0: all
FEW = (0, 25)  # of the other heads
Pair = tuple[np.ndarray, np.ndarray]


def main() -> None:
    """Prints a Markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train and validation, such as cats_and_dogs_filtered")
    parser.add_argument("--backbone", default="MobileNetV2", help="a name that trainer.backbone takes")
    parser.add_argument("--weights", default="imagenet", help="as trainer.weights")
    parser.add_argument("--alpha", type=float, default=0.35, help="of MobileNetV2")
    parser.add_argument("--size", type=int, default=160, help="of the square images, pixels")
    parser.add_argument("--only", default="", help="heads with this in their names")
    parser.add_argument("--seeds", type=int, default=3, help="draws a row")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(ROOT))
    logging.disable(logging.CRITICAL)
    train, test = (features_of(arguments.data / side, arguments) for side in ("train", "validation"))
    print("| head | images a class | seed | temperature | ECE before | after | log loss before | after | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, options in HEADS.items():
        for count in COUNTS.get(name, FEW) if arguments.only in name else ():
            for seed in range(1, arguments.seeds + 1):
                cells = [name, count or "all", seed, *measure(draw(train, count, seed), test, seed, options)]
                print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def features_of(folder: Path, arguments: argparse.Namespace) -> Pair:
    """Features float32 [n, d] of the images of one side, and their labels."""
    import tensorflow as tf

    from benchmarks.head_study import BATCH, read_folder
    from components.options.data import TransformOptions
    from components.trainer.backbones.build import make_backbone
    from components.trainer.features.folding import fold_backbone
    from components.transform import decode_and_resize

    side = (arguments.size, arguments.size)
    extra = {"alpha": arguments.alpha} if arguments.backbone == "MobileNetV2" else {}
    built = make_backbone(arguments.backbone, side, extra, arguments.weights)
    forward, size = fold_backbone(built.model, built.scaling), TransformOptions(image_size=side)
    contents, labels = read_folder(folder)
    parts = [contents[start : start + BATCH] for start in range(0, len(contents), BATCH)]
    return np.concatenate([forward(decode_and_resize(tf.constant(part), size)).numpy() for part in parts]), labels


def draw(pair: Pair, count: int, seed: int) -> Pair:
    """So many rows of each class; all for 0."""
    values, labels = pair
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(labels == label))[: count or None] for label in np.unique(labels)]
    return values[np.concatenate(rows)], labels[np.concatenate(rows)]


def measure(train: Pair, test: Pair, seed: int, options: dict[str, Any]) -> list[str]:
    """The temperature, ECE and log loss before and after it, and the seconds that finding it took."""
    from components.options.trainer import TrainerOptions
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.features.data import Split, in_content_order
    from components.trainer.heads.calibration import calibrate
    from components.trainer.heads.head import train_head

    digests = [hashlib.sha256(row.tobytes()).hexdigest().encode() for row in train[0]]
    given = Split([], np.array(digests, object), train[1], np.array([b""] * len(digests), object))
    split, values = in_content_order(given, train[0])
    trainer, strategy = TrainerOptions(seed=seed, tensorboard=False, **options), make_strategy("cpu")
    head, _ = train_head(strategy, values, split, int(train[1].max()) + 1, trainer, "")
    began = time.monotonic()
    cooled, found = calibrate(strategy, head, values, split, trainer)
    seconds = time.monotonic() - began
    (before, loss), (after, new_loss) = (rate(one.probabilities(test[0]), test[1]) for one in (head, cooled))
    return [f"{found.temperature:.2f}", *(f"{x:.4f}" for x in (before, after, loss, new_loss)), f"{seconds:.1f}"]


def rate(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """ECE and log loss."""
    from components.evaluator.metrics import ece
    from components.evaluator.outcomes import Outcomes

    predicted, own = probabilities.argmax(axis=1), probabilities[np.arange(len(labels)), labels]
    rank = (probabilities > own[:, None]).sum(axis=1)
    outcomes = Outcomes(labels, predicted, probabilities.max(axis=1), own, rank, probabilities.shape[1])
    return ece(outcomes), float(-np.log(np.clip(own, 1e-7, 1.0)).mean())


if __name__ == "__main__":
    main()
