"""How the head's training grows with images, classes and replicas, on random features: no backbone, no files.

    python benchmarks/head.py --images 3000 12000 --classes 2 10 100 1000 --devices cpu cpu:2

Each line trains one head with the default options for so many epochs and gives the milliseconds of an epoch after the
first, which traces the graph.
"""

from __future__ import annotations

import argparse
import itertools
import time


def main() -> None:
    """Trains a head for each combination, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[3000, 12000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 10, 100, 1000])
    parser.add_argument("--devices", nargs="+", default=["cpu", "cpu:2"], help="as trainer.devices")
    parser.add_argument("--width", type=int, default=1280, help="of a feature")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()

    from components.trainer.devices.strategy import prepare_process

    prepare_process("cpu:4")
    print("| devices | images | classes | ms an epoch | us an image | first epoch, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for devices, images, classes in itertools.product(arguments.devices, arguments.images, arguments.classes):
        first, later = measure(devices, images, classes, arguments)
        cells = [devices, f"{images:,}", f"{classes:,}", f"{later * 1000:,.0f}", f"{later * 1e6 / images:,.1f}"]
        print("| " + " | ".join([*cells, f"{first:.2f}"]) + " |")


def measure(devices: str, images: int, classes: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the first epoch, with tracing, and of a later one."""
    import numpy as np

    from components.options.trainer import TrainerOptions
    from components.trainer.devices.strategy import make_strategy
    from components.trainer.heads.epochs import HeadData, HeadTraining
    from components.trainer.training.schedule import Recipe

    draw = np.random.default_rng(0)
    values = draw.normal(size=[images, arguments.width]).astype(np.float32)
    labels = draw.permutation(images) % classes
    options = TrainerOptions(epochs=arguments.epochs, batch_size=arguments.batch_size, early_stopping_patience=0)
    data = HeadData(values, labels, np.zeros(images, bool), classes)
    training = HeadTraining(make_strategy(devices), Recipe.of(options), data)
    state, seconds = training.start(), []
    while not training.is_done(state):
        began = time.monotonic()
        (state,) = training.run_epoch(state)
        seconds.append(time.monotonic() - began)
    return seconds[0], sum(seconds[1:]) / len(seconds[1:])


if __name__ == "__main__":
    main()
