"""A small problem for the head, and a training of it in a process of its own.

Run as a program it trains one head and prints what came out as JSON: `python -m tests.components.trainer.toys FACTS`.
"""

import hashlib
import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from components.options.trainer import TrainerOptions


def toy(count=150, classes=3, width=8, seed=0, noise=0.3):
    """Features around one corner a class, and who they are."""
    from components.trainer.features.data import Split

    random = np.random.default_rng(seed)
    labels = random.permutation(count) % classes
    values = (np.eye(width)[labels] * 4 + random.normal(0, noise, (count, width))).astype(np.float32)
    digests = [hashlib.sha256(f"{seed} {index}".encode()).hexdigest().encode() for index in range(count)]
    return values, Split([], np.array(digests, object), labels.astype(np.int64), np.array([b""] * count, object))


def tiny_backbone(side, width=8):
    """A frozen network of one convolution: exports of it are traced in a moment."""
    import keras

    from components.trainer.backbones.build import BuiltBackbone, digest_weights

    keras.utils.set_random_seed(4)
    pixels = keras.Input((side, side, 3))
    maps = keras.layers.Conv2D(width, 3, strides=side // 2, padding="same", activation="relu")(pixels)
    model = keras.Model(pixels, maps)
    model.trainable = False
    return BuiltBackbone(model, "-1..1", digest_weights(model), (2, 2, width))


def toy_options(**options):
    """What the tests train with, unless they say otherwise."""
    return TrainerOptions(**{"learning_rate": 0.05, "epochs": 15, "tensorboard": False, **options})


@contextmanager
def exact_ops():
    """Deterministic ops for a while, as a process of its own has them for good: the last bit of a loss differs."""
    from tensorflow.python.framework import config  # there is no public way to lift them

    from components.trainer.devices.strategy import repeat_exactly

    repeat_exactly()
    try:
        yield
    finally:
        config.disable_op_determinism()


def train_toy(facts):
    """Trains a head as `facts` say: `problem` for `toy`, `options`, `checkpoints` (a folder), `repeat` (exactly)."""
    from components.trainer.devices.strategy import describe_devices, make_strategy, prepare_process, repeat_exactly
    from components.trainer.heads.head import train_head

    options = toy_options(**facts["options"])
    if facts.get("repeat"):
        repeat_exactly()
    prepare_process(options.devices)
    strategy = make_strategy(options.devices)
    values, split = toy(**facts["problem"])
    classes = int(split.labels.max()) + 1
    head, _ = train_head(strategy, values, split, classes, options, facts["logs"], facts.get("checkpoints", ""))
    return SimpleNamespace(head=head, devices=describe_devices(strategy, options.batch_size))


def main(facts):
    """Trains, and prints the head."""
    done = train_toy(facts)
    answer = {
        "digest": done.head.digest(),
        "kernel": done.head.kernel.tolist(),
        "history": done.head.history,
        "devices": done.devices,
    }
    print("ANSWER " + json.dumps(answer), flush=True)


def answer_of(output):
    """What `main` printed."""
    return json.loads(output.rpartition("ANSWER ")[2])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
