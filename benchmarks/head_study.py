"""The head as it comes, with no option given, beside cross-validated logistic regression on the same features.

    python benchmarks/head_study.py
    python benchmarks/head_study.py --data cats_and_dogs_filtered --weights mobilenet_v2_0.35_no_top.h5

Each row trains both on the same images and asks both about the same others, once a seed: so many images a class are
drawn for training, the test images are never among them. Graft's head is that of the Trainer (`train_head`). The other
is scikit-learn's LogisticRegressionCV: ten penalties, on features as they are and standardised, whichever five folds
find better (three from 2,000 images on). The embedded digits and generated images pass through the sample's backbone
and through a network with random weights; generated features stand for other widths, scales and numbers of classes.
No rule of Graft's was chosen by the sets called `unseen`. `--data` adds a folder with a folder a class (in any depth),
through MobileNetV2 0.35.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_WEIGHTS = str(ROOT / "configs" / "sample" / "mobilenet_v2_0.35_digits.weights.h5")
NARROW = {"alpha": 0.35}
SIDE = 64  # pixels of a generated image
BATCH = 32


@dataclass(frozen=True)
class Pool:
    """Features that the rows of one set draw from.

    Attributes:
        name: of the set.
        backbone: in words.
        values: float32 [n, d].
        labels: int64 [n].
        counts: images a class to train on, a row each; 0: all that are not tested.
        seeds: for each count, how many draws.
    """

    name: str
    backbone: str
    values: np.ndarray
    labels: np.ndarray
    counts: tuple[int, ...]
    seeds: int


def main() -> None:
    """Prints a Markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with a folder a class, such as cats_and_dogs_filtered")
    parser.add_argument("--weights", help="of MobileNetV2 0.35, a file, for --data; 160 pixels")
    parser.add_argument("--seeds", type=int, default=5, help="draws a row, at most")
    parser.add_argument("--only", default="", help="sets with this in their names")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(ROOT))
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    print("| set | backbone | width | classes | images a class | seeds | Graft | logistic regression | points |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for pool in gather_pools(arguments):
        for count in pool.counts:
            print(study(pool, count, min(pool.seeds, arguments.seeds)), flush=True)


def gather_pools(arguments: argparse.Namespace) -> Iterator[Pool]:
    """The sets, one after the other."""
    sets: list[tuple[str, Any]] = [
        ("digits 5-9", lambda name: images_of(name, read_digits(), "sample's", (10, 40, 0))),
        ("digits 5-9", lambda name: images_of(name, read_digits(), "VGG16, random", (10, 40, 0))),
        ("10 textures", lambda name: images_of(name, draw_textures(10, 100), "sample's", (10, 40))),
        ("10 textures", lambda name: images_of(name, draw_textures(10, 100), "VGG16, random", (10, 40))),
        ("2 textures", lambda name: images_of(name, draw_textures(2, 400), "sample's", (10, 40))),
        ("features", lambda name: draw_features(name, 2, 512, 1.0, (10, 40, 4000), 500, 0.15)),
        ("features x 0.01", lambda name: draw_features(name, 10, 2048, 0.01, (10, 40), 100)),
        ("features x 100", lambda name: draw_features(name, 5, 256, 100.0, (10, 40, 1000), 400)),
        ("features", lambda name: draw_features(name, 200, 128, 1.0, (10,), 10)),
        ("unseen: 40 shapes", lambda name: images_of(name, draw_shapes(40, 60), "sample's", (10,))),
        ("unseen: clusters", lambda name: draw_clusters(name, 20, 768, (10, 40, 300), 100)),
        ("unseen: weak directions", lambda name: draw_weak(name, 50, 1024, (10, 40), 40)),
    ]
    if arguments.data:
        folder = Path(arguments.data)
        weights, counts = arguments.weights or "imagenet", (10, 40, 200, 0)
        sets.append((folder.name, lambda name: images_of(name, read_folder(folder), weights, counts)))
    for name, make in sets:
        if arguments.only in name:
            yield make(name)


def study(pool: Pool, count: int, seeds: int) -> str:
    """One row: means over the seeds."""
    pairs = []
    for seed in range(seeds):
        train, test = draw_sides(pool.labels, count, seed)
        parts = (pool.values[train], pool.labels[train], pool.values[test], pool.labels[test])
        pairs.append((ask_graft(*parts, seed), ask_regression(*parts, seed)))
        each = len(train) // len(np.unique(pool.labels))
    mine, its = np.mean(pairs, axis=0)
    classes, error = len(np.unique(pool.labels)), np.std(np.subtract(*zip(*pairs, strict=True))) / np.sqrt(seeds)
    cells = [pool.name, pool.backbone, pool.values.shape[1], classes, each, seeds, f"{mine:.3f}", f"{its:.3f}"]
    return "| " + " | ".join(str(cell) for cell in [*cells, f"{100 * (mine - its):+.1f} ± {100 * error:.1f}"]) + " |"


def draw_sides(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, `count` a class (0: all that are left), and at least a quarter of each class to test with."""
    draw, train, test = np.random.default_rng(seed), [], []
    for label in np.unique(labels):
        rows = draw.permutation(np.flatnonzero(labels == label))
        most = count or len(rows) * 3 // 4
        train.append(rows[:most])
        test.append(rows[most:])
    return np.concatenate(train), np.concatenate(test)


def ask_graft(values: np.ndarray, labels: np.ndarray, others: np.ndarray, wanted: np.ndarray, seed: int) -> float:
    """Accuracy of the Trainer's head, with its default options."""
    from components.options.trainer import TrainerOptions
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.features.data import Split
    from components.trainer.heads.head import train_head

    digests = [hashlib.sha256(row.tobytes()).hexdigest().encode() for row in values]
    split = Split([], np.array(digests, object), labels, np.array([b""] * len(labels), object))
    options = TrainerOptions(seed=seed, tensorboard=False)
    head, _ = train_head(make_strategy("cpu"), values, split, int(labels.max()) + 1, options, "")
    return float((head.probabilities(others).argmax(axis=1) == wanted).mean())


def ask_regression(values: np.ndarray, labels: np.ndarray, others: np.ndarray, wanted: np.ndarray, seed: int) -> float:
    """Accuracy of scikit-learn's logistic regression, its penalty and the features' scale by cross-validation.

    As they are means over one number, as the penalties of the grid are not for features times 0.01. Where there are
    fewer images than features they are turned into as many directions, of which an L2 penalty takes no notice.
    """
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(5 if len(labels) < 2000 else 3, shuffle=True, random_state=seed)
    scaler, tried = StandardScaler().fit(values.astype(np.float64)), []
    for divisor in (np.sqrt(np.mean(scaler.var_)), scaler.scale_):
        mine, its = ((part - scaler.mean_) / divisor for part in (values, others))
        turn = np.linalg.qr(mine.T)[0] if len(mine) < mine.shape[1] else np.eye(mine.shape[1])
        model = LogisticRegressionCV(cv=folds, max_iter=300).fit(mine @ turn, labels)
        score = max(np.mean(next(iter(model.scores_.values())), axis=0))
        tried.append((score, model.score(its @ turn, wanted)))
    return float(max(tried, key=lambda one: one[0])[1])


def images_of(name: str, images: tuple[list[bytes], np.ndarray], backbone: str, counts: tuple[int, ...]) -> Pool:
    """Features of encoded images: of the sample's network, a random one, or MobileNetV2 0.35 with a weights file."""
    import keras
    import tensorflow as tf

    from components.options.data import TransformOptions
    from components.trainer.backbones.build import make_backbone
    from components.trainer.features.folding import fold_backbone
    from components.transform import decode_and_resize

    keras.utils.set_random_seed(1)
    contents, labels = images
    request: dict[str, tuple[str, int, dict[str, Any], str, str]] = {
        "sample's": ("MobileNetV2", 96, NARROW, SAMPLE_WEIGHTS, "sample's"),
        "VGG16, random": ("VGG16", 48, {}, "none", backbone),
    }
    network, side, extra, weights, words = request.get(
        backbone, ("MobileNetV2", 160, NARROW, backbone, "MobileNetV2 0.35")
    )
    built = make_backbone(network, (side, side), extra, weights)
    forward, size = fold_backbone(built.model, built.scaling), TransformOptions(image_size=(side, side))
    parts = [contents[start : start + BATCH] for start in range(0, len(contents), BATCH)]
    values = np.concatenate([forward(decode_and_resize(tf.constant(part), size)).numpy() for part in parts])
    return Pool(name, words, values, labels, counts, 5)


def read_digits() -> tuple[list[bytes], np.ndarray]:
    """The embedded sample."""
    from pipeline.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        return read_folder(write_sample("sample:digits", Path(folder)))


def read_folder(folder: Path) -> tuple[list[bytes], np.ndarray]:
    """Images and the number of the folder that each lies in."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    labels = np.unique([path.parent.name for path in files], return_inverse=True)[1]
    return [path.read_bytes() for path in files], labels.astype(np.int64)


def draw_textures(classes: int, each: int) -> tuple[list[bytes], np.ndarray]:
    """Noisy stripes: a class has two colours, a width and a direction, from which each image strays."""
    import tensorflow as tf

    draw, contents = np.random.default_rng(classes), []
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for _ in range(classes):
        colours, pace, angle = draw.uniform(0, 255, (2, 3)), draw.uniform(2, 14), draw.uniform(0, np.pi)
        for _ in range(each):
            turn, many = angle + draw.normal(0, 0.35), pace * np.exp(draw.normal(0, 0.2))
            place = across * np.cos(turn) + down * np.sin(turn)
            wave = (np.sin(2 * np.pi * many * place + draw.uniform(0, 6.3)) / 2 + 0.5)[..., None]
            first, second = colours + draw.normal(0, 60, (2, 3))
            pixels = wave * first + (1 - wave) * second + draw.normal(0, 40, (SIDE, SIDE, 3))
            contents.append(tf.io.encode_png(np.clip(pixels, 0, 255).astype(np.uint8)).numpy())
    return contents, np.repeat(np.arange(classes), each)


def draw_features(
    name: str, classes: int, width: int, scale: float, counts: tuple[int, ...], spare: int, apart: float = 0.8
) -> Pool:
    """Sparse features as after a ReLU, each on a scale of its own; classes differ in 48 hidden directions."""
    draw, each, hidden = np.random.default_rng(width), max(counts) + spare, 48
    labels = np.repeat(np.arange(classes), each)
    centres, spread = draw.normal(0, apart, (classes, hidden)), np.exp(draw.normal(0, 0.5, hidden))
    signal = centres[labels] + draw.normal(size=(len(labels), hidden)) * spread
    mixed = signal @ draw.normal(size=(hidden, width)) / np.sqrt(hidden) + draw.normal(0, 0.5, (len(labels), width))
    values = np.maximum(mixed - 0.8, 0) * np.exp(draw.normal(0, 0.8, width)) * scale
    return Pool(name, "none", values.astype(np.float32), labels.astype(np.int64), counts, 3)


def draw_shapes(classes: int, each: int) -> tuple[list[bytes], np.ndarray]:
    """Two polygons anywhere on a plain, noisy ground: a class has their corners, sizes and colours."""
    import tensorflow as tf

    draw, contents = np.random.default_rng(11), []
    down, across = np.mgrid[0:SIDE, 0:SIDE] / (SIDE / 2) - 1
    for _ in range(classes):
        kinds = [(draw.integers(3, 7), draw.uniform(0.12, 0.42), draw.uniform(0, 255, 3)) for _ in range(2)]
        for _ in range(each):
            pixels = draw.uniform(0, 255, 3) + draw.normal(0, 20, (SIDE, SIDE, 3))
            for corners, size, colour in kinds:
                right, low, turn = draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5), draw.uniform(0, 6.3)
                angle = (np.arctan2(down - low, across - right) + turn) % (2 * np.pi / corners) - np.pi / corners
                inside = np.hypot(down - low, across - right) * np.cos(angle) < size * np.exp(draw.normal(0, 0.15))
                pixels[inside] = colour + draw.normal(0, 45, 3)
            contents.append(tf.io.encode_png(np.clip(pixels, 0, 255).astype(np.uint8)).numpy())
    return contents, np.repeat(np.arange(classes), each)


def draw_clusters(name: str, classes: int, width: int, counts: tuple[int, ...], spare: int) -> Pool:
    """Dense features of one scale; a class is three clouds."""
    draw, each = np.random.default_rng(7), max(counts) + spare
    labels, centres = np.repeat(np.arange(classes), each), draw.normal(0, 0.35, (classes, 3, width))
    values = centres[labels, draw.integers(0, 3, len(labels))] + draw.normal(size=(len(labels), width))
    return Pool(name, "none", values.astype(np.float32), labels.astype(np.int64), counts, 3)


def draw_weak(name: str, classes: int, width: int, counts: tuple[int, ...], spare: int) -> Pool:
    """A spectrum that falls by a power; classes differ in the weak directions alone, which no single feature is."""
    draw, each = np.random.default_rng(8), max(counts) + spare
    labels, spread = np.repeat(np.arange(classes), each), np.arange(1, width + 1) ** -0.5
    centres = draw.normal(size=(classes, width)) * spread * (np.arange(width) >= 100) * 0.55
    signal = draw.normal(size=(len(labels), width)) * spread + centres[labels]
    values = np.maximum(signal @ np.linalg.qr(draw.normal(size=(width, width)))[0], 0)
    return Pool(name, "none", values.astype(np.float32), labels.astype(np.int64), counts, 3)


if __name__ == "__main__":
    main()
