"""Throughput of the feature pass beside its parts: decoding alone, and the folded backbone alone on random pixels.

    python benchmarks/features.py --data photos --weights mobilenet_v2_0.35_no_top.h5 --backbone-args '{"alpha": 0.35}'

All three are measured in turn, round after round, so that what else the machine does meets them alike; the figures are
medians over the rounds. What two shares of the same cores allow is the harmonic combination 1 / (1/a + 1/b). The
pass is measured as the Trainer runs it, with the transform graph that Transform writes, without start-up (loading and
tracing), which is given on its own. CPU time is of all threads: it tells work from waiting, and its share of the folded
backbone's holds on a machine that others use, too. The features of the pass are then kept and read back.
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
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    """Runs all rounds and prints a Markdown table."""
    arguments = parse_arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as scratch:
        measurements, kept = prepare(arguments, Path(scratch))
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in measurements}
        for number in range(1, arguments.rounds + 1):
            for name, measure in measurements.items():
                rounds[name].append(measure())
            rates = ", ".join(f"{name} {found[-1]['rate']:,.0f}" for name, found in rounds.items())
            print(f"round {number} of {arguments.rounds}: {rates} images/s", file=sys.stderr)
        stored = kept()
    print_table(rounds, arguments)
    print(
        "Kept: {share:.3f} of the size of the features and their digests, "
        "written in {write:.3f} s, read in {read:.3f} s.".format(**stored)
    )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with JPEGs or PNGs, in any depth")
    parser.add_argument("--weights", default="none", help="weights file, `imagenet` or `none`")
    parser.add_argument("--backbone", default="MobileNetV2", help="a row of the table")
    parser.add_argument("--backbone-args", default="{}", type=json.loads, help="JSON, such as '{\"alpha\": 0.35}'")
    parser.add_argument("--size", type=int, default=160, help="side of the images, pixels")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--devices", default="auto", help="as trainer.devices")
    parser.add_argument("--limit", type=int, default=3000, help="how many images")
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def prepare(
    arguments: argparse.Namespace, scratch: Path
) -> tuple[dict[str, Callable[[], dict[str, float]]], Callable[[], dict[str, float]]]:
    """Writes records and transform graph, builds the backbone; gives the three measurements, and that of the store."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_transform as tft

    from components.trainer.backbones.build import make_backbone
    from components.trainer.devices.strategy import make_strategy, prepare_process
    from components.trainer.features.data import pixel_batches, read_split
    from components.trainer.features.feature_pass import FeaturePass, gather_features
    from components.trainer.features.folding import fold_backbone

    prepare_process(arguments.devices)
    strategy = make_strategy(arguments.devices)
    print("writing records and the transform graph...", file=sys.stderr)
    write_records(find_images(Path(arguments.data), arguments.limit), scratch / "records")
    write_transform(str(scratch / "transform"), arguments.size)
    transform = tft.TFTransformOutput(str(scratch / "transform"))
    split = read_split([str(scratch / "records")])
    size = (arguments.size, arguments.size)
    built = make_backbone(arguments.backbone, size, arguments.backbone_args, arguments.weights)
    forward = fold_backbone(built.model, built.scaling)
    feature_pass = FeaturePass(strategy, forward, transform, arguments.batch_size)
    shape = (arguments.batch_size, *size, 3)
    noise = tf.constant(np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32))
    repeats = -(-len(split) // arguments.batch_size)

    def decoded() -> Iterator[int]:
        for index, _ in pixel_batches(split, transform, arguments.batch_size):
            yield int((index.numpy() >= 0).sum())

    def folded() -> Iterator[int]:
        for _ in range(repeats):
            forward(noise).numpy()
            yield arguments.batch_size

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


def print_table(rounds: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    """Markdown: medians over the rounds, and the shares taken within each round."""
    labels = {
        "decode": "records, decode and resize alone",
        "folded": "folded backbone alone, random pixels",
        "pass": "feature pass",
    }
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, batches of {arguments.batch_size}\n")
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
    both = [1 / (1 / a["rate"] + 1 / b["rate"]) for a, b in zip(rounds["decode"], rounds["folded"], strict=True)]
    share = statistics.median(rate / floor for rate, floor in zip(both, alone, strict=True))
    print(f"| what the two rates allow | {statistics.median(both):,.0f} | {share:.0%} | | | |")
    of_allowed = statistics.median(row["rate"] / rate for row, rate in zip(rounds["pass"], both, strict=True))
    print(f"\nThe pass reaches {of_allowed:.0%} of what the two rates allow.")


if __name__ == "__main__":
    main()
