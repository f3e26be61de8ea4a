"""The floor: every image decoded once and run once through the folded backbone, and nothing else.

    python -m benchmarks.compare.floor TASK.json

Prints one JSON object: images/s of decoding and resizing alone, and of the folded backbone alone on random pixels, as
medians over some rounds in turn; and the seconds that each image therefore costs at the least.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.compare.task import Task

ROUNDS = 5
BATCH = 64
BATCHES = 24  # a round of the backbone
LARGEST = 3000  # images of a round of decoding


def main() -> None:
    """Measures both rates in turn."""
    task = Task.read(Path(sys.argv[1]))
    rounds: dict[str, list[float]] = {}
    measurements = {"decode": prepare_decoding(task), "backbone": prepare_backbone(task)}
    for measure in measurements.values():
        measure()  # traces, and warms the page cache
    for _ in range(ROUNDS):
        for name, measure in measurements.items():
            rounds.setdefault(name, []).append(measure())
    rates = {name: statistics.median(found) for name, found in rounds.items()}
    print(json.dumps({**rates, "seconds_per_image": sum(1 / rate for rate in rates.values())}))


def prepare_decoding(task: Task) -> Callable[[], float]:
    """Gives a function that decodes and resizes the images on all cores, and returns images/s."""
    import tensorflow as tf

    paths = sorted(str(path) for path in Path(task.data).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    paths = paths[:LARGEST]

    def decode(path: Any) -> Any:
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(pixels, (task.image_size, task.image_size))

    def measure() -> float:
        images = tf.data.Dataset.from_tensor_slices(paths).map(decode, tf.data.AUTOTUNE, deterministic=False)
        started = time.monotonic()
        for _ in images.batch(BATCH).prefetch(tf.data.AUTOTUNE):
            pass
        return len(paths) / (time.monotonic() - started)

    return measure


def prepare_backbone(task: Task) -> Callable[[], float]:
    """Gives a function that runs the folded backbone on random pixels, and returns images/s."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (task.image_size, task.image_size, 3)
    backbone = keras.applications.MobileNetV2(input_shape=shape, alpha=task.alpha, include_top=False, weights=None)
    backbone.load_weights(task.weights)
    forward = tf.function(lambda pixels: tf.reduce_mean(backbone(pixels / 127.5 - 1.0, training=False), [1, 2]))
    folded = convert_variables_to_constants_v2(forward.get_concrete_function(tf.TensorSpec([BATCH, *shape])))
    pixels = tf.random.stateless_uniform([BATCH, *shape], (1, 2)) * 255.0

    def measure() -> float:
        started = time.monotonic()
        for _ in range(BATCHES):
            folded(pixels)
        return BATCH * BATCHES / (time.monotonic() - started)

    return measure


if __name__ == "__main__":
    main()
