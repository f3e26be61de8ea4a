"""Throughput of the feature pass beside its parts: decoding alone, and the folded backbone alone on random pixels.

    python -m benchmarks.features --data photos --size 160 --weights FILE --backbone-args '{"alpha": 0.35}'
    python -m benchmarks.features --devices gpu        # as it is, on a machine with one: photographs are made up

All three are measured in turn, round after round, so that what else the machine does meets them alike; the figures are
medians over the rounds, a table for each backbone, precision and batch. What two shares of the same cores allow is the
harmonic combination 1 / (1/a + 1/b); where the backbone has a GPU of its own, it is the smaller of the two. The
pass is measured as the Trainer runs it, with the transform graph that Transform writes, without start-up (loading and
tracing), which is given on its own. CPU time is of all threads: it tells work from waiting, and its share of the folded
backbone's holds on a machine that others use, too. The features of the last pass are then kept and read back.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    """Runs all rounds and prints a Markdown table."""
    arguments = parse_arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from components.trainer.devices.strategy import feature_batch_size

    with tempfile.TemporaryDirectory() as scratch:
        records = prepare(arguments, Path(scratch))
        for backbone, precision, batch_size in product(arguments.backbone, arguments.precision, arguments.batch_size):
            one = Case(backbone, precision, batch_size or feature_batch_size(records.strategy))
            measurements, kept = prepare_case(records, one, arguments)
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in measurements}
            for number in range(1, arguments.rounds + 1):
                for name, measure in measurements.items():
                    rounds[name].append(measure())
                rates = ", ".join(f"{name} {found[-1]['rate']:,.0f}" for name, found in rounds.items())
                print(f"round {number} of {arguments.rounds}: {rates} images/s", file=sys.stderr)
            print_table(rounds, one, on_gpu(records.strategy))
        stored = kept()
    print(
        "Kept: {share:.3f} of the size of the features and their digests, "
        "written in {write:.3f} s, read in {read:.3f} s.".format(**stored)
    )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with JPEGs or PNGs, in any depth; default: photographs made up here")
    parser.add_argument("--weights", default="none", help="weights file, `imagenet` or `none`")
    parser.add_argument("--backbone", nargs="+", default=["MobileNetV2", "ResNet50"], help="rows of the table")
    parser.add_argument("--backbone-args", default="{}", type=json.loads, help="JSON, such as '{\"alpha\": 0.35}'")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[0], help="0: as the Trainer takes it")
    parser.add_argument("--precision", nargs="+", default=["float32"], help="as trainer.precision")
    parser.add_argument("--devices", default="auto", help="as trainer.devices")
    parser.add_argument("--limit", type=int, default=3000, help="how many images")
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


@dataclass(frozen=True)
class Case:
    """What is measured: a row of the table of backbones, `trainer.precision`, and a global batch."""

    backbone: str
    precision: str
    batch_size: int


@dataclass(frozen=True)
class Records:
    """What all cases share: the replicas, the transform graph, and the split."""

    strategy: Any
    transform: Any
    split: Any


def prepare(arguments: argparse.Namespace, scratch: Path) -> Records:
    """Writes records and the transform graph.

    Raises:
        SystemExit: the devices are not there.
    """
    import tensorflow_transform as tft

    from components.errors import InputError
    from components.trainer.devices.strategy import make_strategy, prepare_process
    from components.trainer.features.data import read_split

    try:
        prepare_process(arguments.devices)
        strategy = make_strategy(arguments.devices)
    except InputError as error:
        raise SystemExit(str(error)) from error
    print("writing records and the transform graph...", file=sys.stderr)
    data = Path(arguments.data) if arguments.data else make_up_photographs(scratch / "photographs", arguments.limit)
    write_records(find_images(data, arguments.limit), scratch / "records")
    write_transform(str(scratch / "transform"), arguments.size)
    transform = tft.TFTransformOutput(str(scratch / "transform"))
    return Records(strategy, transform, read_split([str(scratch / "records")]))


def make_up_photographs(folder: Path, count: int, size: tuple[int, int] = (500, 375)) -> Path:
    """Writes JPEGs of two classes that decode as photographs do: noise of four grains, about 1.4 bits a pixel."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        picture = np.zeros((size[1], size[0], 3), np.float32)
        for grain, strength in ((64, 120), (16, 40), (4, 12), (1, 2)):
            shape = (size[1] // grain + 1, size[0] // grain + 1, 3)
            noise = Image.fromarray(random.integers(0, 256, shape, np.uint8)).resize(size, Image.Resampling.BICUBIC)
            picture += (np.asarray(noise, np.float32) - 127.5) / 127.5 * strength
        place = folder / f"class {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(picture + 127.5, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.jpg", quality=88)
    return folder


def on_gpu(strategy: Any) -> bool:
    """Whether the backbone has processors of its own."""
    return any("GPU" in device.upper() for device in strategy.extended.worker_devices)


def prepare_case(
    records: Records, case: Case, arguments: argparse.Namespace
) -> tuple[dict[str, Callable[[], dict[str, float]]], Callable[[], dict[str, float]]]:
    """Builds the backbone of a case; gives the three measurements, and that of the store."""
    import numpy as np
    import tensorflow as tf

    from components.options.trainer import TrainerOptions
    from components.trainer.backbones.precision import build, build_half
    from components.trainer.devices.strategy import global_batch_size
    from components.trainer.features.data import pixel_batches
    from components.trainer.features.feature_pass import FeaturePass, gather_features
    from components.trainer.features.folding import fold_backbone

    size, split = (arguments.size, arguments.size), records.split
    options = TrainerOptions(
        backbone=case.backbone,
        backbone_args=arguments.backbone_args,
        weights=arguments.weights,
        precision=case.precision,  # type: ignore[arg-type]
    )
    built = (build if case.precision == "float32" else build_half)(options, size)
    forward = fold_backbone(built.model, built.scaling)
    batch_size = global_batch_size(records.strategy, case.batch_size)
    feature_pass = FeaturePass(records.strategy, forward, records.transform, batch_size)
    share = batch_size // records.strategy.num_replicas_in_sync  # random pixels wait in the memory of one device
    noise = tf.constant(np.random.default_rng(0).uniform(0, 255, (share, *size, 3)).astype(np.float32))
    repeats = -(-len(split) // share)

    def decoded() -> Iterator[int]:
        for index, _ in pixel_batches(split, records.transform, batch_size):
            yield int((index.numpy() >= 0).sum())

    def folded() -> Iterator[int]:
        with tf.device(records.strategy.extended.worker_devices[0]):
            pixels = tf.identity(noise)
            for _ in range(repeats):
                forward(pixels).numpy()
                yield share

    def passed() -> Iterator[int]:
        for rows, _ in feature_pass.run(split, np.ones(len(split), bool)):
            yield len(rows)

    def kept() -> dict[str, float]:
        return measure_store(split.digests(), gather_features(feature_pass, split).values)

    return {
        "decode": functools.partial(measure, decoded),
        "folded": functools.partial(measure, folded),
        "pass": functools.partial(measure, passed),
    }, kept


def measure(batches: Callable[[], Iterator[int]]) -> dict[str, float]:
    """Images a second from the end of the first batch on, with CPU milliseconds an image and seconds before it."""
    began = time.monotonic()
    counts = batches()
    next(counts)
    start, cpu = time.monotonic(), time.process_time()
    images = sum(counts)
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    return {"rate": images / seconds, "cpu_ms": 1000 * cpu / images, "startup": start - began}


def measure_store(digests: Any, values: Any, rounds: int = 7) -> dict[str, float]:
    """The share of their size that features take in a store, and the median seconds to keep and to read them."""
    from components.trainer.features.store import FeatureStore

    seconds: dict[str, list[float]] = {"write": [], "read": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            store, start = FeatureStore(folder, {}), time.monotonic()
            store.keep(digests, values)
            middle = time.monotonic()
            found, good = store.read(digests, values.shape[1])
            seconds["write"].append(middle - start)
            seconds["read"].append(time.monotonic() - middle)
            if not good.all() or found.tobytes() != values.tobytes():
                raise SystemExit("what was read is not what was kept")
            size = sum(path.stat().st_size for path in Path(store.folder).iterdir())
    share = size / (values.nbytes + digests.nbytes)
    return {"share": share, **{name: statistics.median(times) for name, times in seconds.items()}}


def find_images(data: Path, limit: int) -> list[Path]:
    """The first images of a folder, in any depth."""
    names = sorted(name for name in data.rglob("*") if name.suffix.lower() in SUFFIXES)[:limit]
    if not names:
        raise SystemExit(f"--data: expected a folder with images, found none in {data}.")
    return names


def write_records(names: list[Path], path: Path) -> None:
    """Images as ImageExampleGen's records, as far as the Trainer reads them; their folder is their class."""
    import tensorflow as tf

    from components.contract import features

    classes = sorted({name.parent.name for name in names})
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in names:
            content = name.read_bytes()
            values: dict[str, Any] = {
                features.IMAGE: content,
                features.SHA256: hashlib.sha256(content).hexdigest().encode(),
                features.LABEL_TEXT: name.parent.name.encode(),
            }
            row = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
            label = [classes.index(name.parent.name)]
            row[features.LABEL] = tf.train.Feature(int64_list=tf.train.Int64List(value=label))
            writer.write(tf.train.Example(features=tf.train.Features(feature=row)).SerializeToString())


def write_transform(folder: str, size: int) -> None:
    """The transform graph as TFX's Transform writes it, for images of one size."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata

    from components.options.data import TransformOptions
    from components.schema import SCHEMA_FILE
    from components.transform import preprocessing_fn
    from pipeline.beam import name_runner

    schema = text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())
    options = TransformOptions(image_size=(size, size)).to_json()
    function = functools.partial(preprocessing_fn, custom_config={"options": options})
    with (
        tempfile.TemporaryDirectory() as scratch,
        beam.Pipeline(argv=name_runner([])) as pipeline,
        tft_beam.Context(temp_dir=scratch),
    ):
        nothing = (pipeline | beam.Create([]), dataset_metadata.DatasetMetadata(schema))
        _ = nothing | tft_beam.AnalyzeDataset(function) | tft_beam.WriteTransformFn(folder)


def print_table(rounds: dict[str, list[dict[str, float]]], case: Case, apart: bool) -> None:
    """Prints Markdown: medians over the rounds, and the shares taken within each round.

    Args:
        rounds: of the three measurements.
        case: what was measured.
        apart: whether decoding and backbone have processors of their own.
    """
    labels = {
        "decode": "records, decode and resize alone",
        "folded": "folded backbone alone, random pixels, one replica",
        "pass": "feature pass",
    }
    of = f"{case.backbone}, {case.precision}, batches of {case.batch_size}"
    print(f"\n{of}; Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print("| what | images/s | of folded alone | CPU ms an image | of folded alone | start-up s |")
    print("| --- | --- | --- | --- | --- | --- |")
    alone = [row["rate"] for row in rounds["folded"]]
    for name, rows in rounds.items():
        share = statistics.median(row["rate"] / floor for row, floor in zip(rows, alone, strict=True))
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        of_work = statistics.median(
            base["cpu_ms"] / row["cpu_ms"] for row, base in zip(rows, rounds["folded"], strict=True)
        )
        work = f"{middle['cpu_ms']:.2f} | {of_work:.0%} | {middle['startup']:.2f}"
        print(f"| {labels[name]} | {middle['rate']:,.0f} | {share:.0%} | {work} |")
    pairs = [(a["rate"], b["rate"]) for a, b in zip(rounds["decode"], rounds["folded"], strict=True)]
    both = [min(a, b) if apart else 1 / (1 / a + 1 / b) for a, b in pairs]
    share = statistics.median(rate / floor for rate, floor in zip(both, alone, strict=True))
    print(f"| what the two rates allow | {statistics.median(both):,.0f} | {share:.0%} | | | |")
    of_allowed = statistics.median(row["rate"] / rate for row, rate in zip(rounds["pass"], both, strict=True))
    print(f"\nThe pass reaches {of_allowed:.0%} of what the two rates allow.")


if __name__ == "__main__":
    main()
