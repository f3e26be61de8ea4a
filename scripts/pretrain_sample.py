"""Pretrains the backbone of the embedded sample: MobileNetV2 alpha 0.35, from scratch, on the handwritten digits 0-4.

    python scripts/pretrain_sample.py       (or `make pretrain`; four minutes on two processors)

`configs/sample.yaml` then grafts a head for the digits 5-9 on it, which this script never sees. With five classes alone
the features shrink to what tells those five apart, and that is little for other digits. So every batch shows the digits
in the eight symmetries of the square, and the network says which digit *in which symmetry*: 40 classes (label
augmentation: Lee, Hwang and Shin, 2020, arXiv:1910.05872). Small shifts, turns and zooms leave the class alone.

The weights go to a `.weights.h5` file without the top, the facts to a `.json` beside it. All random numbers come from
the seed and the operations are deterministic: on one machine the file comes out the same, bit for bit. Another
processor or number of threads adds in another order, and gives other last bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from components.options.data import TransformOptions
from components.trainer.backbones.build import scale_pixels
from components.trainer.backbones.table import choose_scaling
from components.transform import decode_and_resize
from pipeline.sample import write_sample

WEIGHTS = Path(__file__).resolve().parent.parent / "configs" / "sample" / "mobilenet_v2_0.35_digits.weights.h5"
SAMPLE = "sample:digits-0-4"
BACKBONE, ALPHA = "MobileNetV2", 0.35
SYMMETRIES = 8  # of the square; number 0 leaves the picture as it is
EVAL_FRACTION = 0.2
BATCH_SIZE = 32
LEARNING_RATE = 0.002
WARMUP_EPOCHS = 5
DROPOUT = 0.2
MOMENTUM = 0.9  # of the moving statistics; Keras' 0.999 needs thousands of steps before inference mode is right
SETTLING_STEPS = 100
LARGEST_TURN, LARGEST_SHIFT, LARGEST_ZOOM = np.pi / 12, 0.1, 0.15  # radians; shares of the side
LIBRARIES = ("tensorflow", "keras", "numpy", "scikit-learn", "pillow")


@dataclass(frozen=True)
class Side:
    """One side of the split: pixels float32 [n, size, size, 3] in 0..255, labels int64 [n] in 0..4."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def main() -> None:
    """Trains, measures on held-out images in inference mode, and writes weights and facts."""
    options = parse_arguments()
    keras.utils.set_random_seed(options.seed)
    tf.config.experimental.enable_op_determinism()
    train, held_out = read_digits(options.size)
    model = build_model(options.size)
    print(f"{len(train)} images to train on, {len(held_out)} held out; the first epoch is slow.", flush=True)
    train_model(model, train, held_out, options.epochs, np.random.default_rng(options.seed))
    accuracy = measure_accuracy(model, held_out)
    write_weights(model, options.output)
    write_facts(options, train, held_out, accuracy)
    print(f"Held-out accuracy {accuracy:.4f}. Wrote {options.output} ({options.output.stat().st_size / 1e6:.1f} MB).")


def parse_arguments() -> argparse.Namespace:
    """Command line; the defaults are those of the committed file."""
    parser = argparse.ArgumentParser(description="Pretrain the sample's backbone on the digits 0-4.")
    parser.add_argument("--size", type=int, default=96, help="side of the pictures in pixels")
    parser.add_argument("--epochs", type=int, default=60, help="0: random weights, with settled moving statistics")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="a .weights.h5 file; the facts go beside it")
    return parser.parse_args()


def read_digits(size: int) -> tuple[Side, Side]:
    """The digits 0-4 as every user's images are read: train and held-out side, split by content."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(write_sample(SAMPLE, Path(folder)).glob("*/*.png"))
        labels = np.array([int(file.parent.name) for file in files], np.int64)
        encoded = [file.read_bytes() for file in files]
    held = np.array([is_held_out(content) for content in encoded])
    pixels = decode_and_resize(tf.constant(encoded), TransformOptions(image_size=(size, size))).numpy()
    return Side(pixels[~held], labels[~held]), Side(pixels[held], labels[held])


def is_held_out(content: bytes) -> bool:
    """Whether an image is never trained on."""
    return int(hashlib.sha256(content).hexdigest()[:8], 16) < EVAL_FRACTION * 2**32


def build_model(size: int) -> keras.Model:
    """Scaled pixels [batch, size, size, 3], backbone, pooling, dropout, dense: logits [batch, 5 * SYMMETRIES]."""
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, alpha=ALPHA, input_shape=(size, size, 3), name="backbone"
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    top = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(DROPOUT), keras.layers.Dense(5 * SYMMETRIES)]
    return keras.Sequential([keras.Input((size, size, 3)), backbone, *top])


def train_model(model: keras.Model, train: Side, held_out: Side, epochs: int, random: np.random.Generator) -> None:
    """Trains all layers, then settles the moving statistics with the weights at rest."""
    steps = len(train) // BATCH_SIZE
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, (epochs - WARMUP_EPOCHS) * steps),
        warmup_target=LEARNING_RATE,
        warmup_steps=WARMUP_EPOCHS * steps,
    )
    optimizer = keras.optimizers.Adam(rate)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scaling = choose_scaling(BACKBONE, "auto")

    @tf.function(reduce_retracing=True)
    def step(pixels: tf.Tensor, labels: tf.Tensor, transforms: tf.Tensor, learn: bool) -> tf.Tensor:
        pixels = scale_pixels(move_pixels(pixels, transforms), scaling)
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(pixels, training=True))
        if learn:
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    started = time.monotonic()
    for epoch in range(1, epochs + 1):
        losses = [step(*batch, learn=True) for batch in draw_batches(train, steps, random)]
        if epoch % 5 == 0 or epoch in (1, epochs):
            left = (time.monotonic() - started) / epoch * (epochs - epoch)
            accuracy = measure_accuracy(model, held_out)
            mean = float(np.mean([loss.numpy() for loss in losses]))
            print(f"Epoch {epoch} of {epochs}: loss {mean:.3f}, held out {accuracy:.3f}, {left:.0f} s left", flush=True)
    for batch in draw_batches(train, SETTLING_STEPS, random):
        step(*batch, learn=False)


def draw_batches(
    side: Side, steps: int, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Full batches in random order, each image in a random symmetry and place.

    Yields:
        pixels [BATCH_SIZE, size, size, 3], labels [BATCH_SIZE] in 0..5 * SYMMETRIES - 1, and the transforms of
        `draw_transforms`.
    """
    rounds = -(-steps * BATCH_SIZE // len(side))
    order = np.concatenate([random.permutation(len(side)) for _ in range(rounds)])
    for start in range(0, steps * BATCH_SIZE, BATCH_SIZE):
        rows = order[start : start + BATCH_SIZE]
        symmetries = random.integers(SYMMETRIES, size=BATCH_SIZE)
        transforms = draw_transforms(symmetries, side.pixels.shape[1], random)
        yield side.pixels[rows], side.labels[rows] * SYMMETRIES + symmetries, transforms


def draw_transforms(symmetries: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Random turns, zooms and shifts on top of the symmetries.

    Args:
        symmetries: [n] in 0..7: quarter turns, from 4 on of the mirrored picture.
        size: side in pixels.
        random: where the numbers come from.

    Returns:
        float32 [n, 8], as `ImageProjectiveTransformV3` wants them: from output to input coordinates.
    """
    count = len(symmetries)
    angle = symmetries % 4 * np.pi / 2 + random.uniform(-LARGEST_TURN, LARGEST_TURN, count)
    zoom = random.uniform(1 - LARGEST_ZOOM, 1 + LARGEST_ZOOM, count)
    shift = random.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, (2, count)) * size
    mirror = np.where(symmetries < 4, 1.0, -1.0)
    a, b = zoom * np.cos(angle) * mirror, -zoom * np.sin(angle) * mirror
    c, d = zoom * np.sin(angle), zoom * np.cos(angle)
    middle = (size - 1) / 2
    x, y = middle - a * middle - b * middle + shift[0], middle - c * middle - d * middle + shift[1]
    zero = np.zeros(count)
    return np.stack([a, b, x, c, d, y, zero, zero], axis=1).astype(np.float32)


def move_pixels(pixels: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Pixels [n, size, size, 3] resampled by transforms [n, 8]; black where there was no picture."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.shape(pixels)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def measure_accuracy(model: keras.Model, side: Side) -> float:
    """Share of the upright digits that inference mode names rightly, 0..1."""
    scaled = scale_pixels(side.pixels, choose_scaling(BACKBONE, "auto"))
    upright = model.predict(scaled, batch_size=64, verbose=0)[:, ::SYMMETRIES]
    return float((upright.argmax(axis=1) == side.labels).mean())


def write_weights(model: keras.Model, path: Path) -> None:
    """The backbone's weights, without pooling and top; the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    model.get_layer("backbone").save_weights(partial)
    os.replace(partial, path)


def write_facts(options: argparse.Namespace, train: Side, held_out: Side, accuracy: float) -> None:
    """What the weights are, as JSON beside them; no date and no place, so that a rerun writes the same."""
    facts = {
        "file": options.output.name,
        "sha256": hashlib.sha256(options.output.read_bytes()).hexdigest(),
        "command": " ".join(["python", "scripts/pretrain_sample.py", *sys.argv[1:]]),
        "backbone": BACKBONE,
        "backbone_args": {"alpha": ALPHA},
        "data": SAMPLE,
        "image_size": options.size,
        "seed": options.seed,
        "epochs": options.epochs,
        "train_images": len(train),
        "held_out_images": len(held_out),
        "held_out_accuracy": round(accuracy, 4),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }
    path = options.output.with_name(options.output.name.removesuffix(".weights.h5") + ".json")
    path.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
