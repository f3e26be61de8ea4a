"""How the Evaluator grows with classes and images: toy models that look at no picture, so that all else is measured.

    python -m benchmarks.evaluator --classes 2 300 1000 --images 1000 2400 8000 --served

Each line is a process of its own, one number of images a number of classes. The clock starts when TensorFlow and TFX
are loaded, as they are in `graft run` when the Evaluator begins, and stops when `Do` returns. CPU time is of all
threads: it counts work whatever else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Runs every combination and prints a Markdown table; as a child, runs one Evaluator and prints its figures."""
    arguments = parse_arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if arguments.child:
        print(json.dumps(evaluate(*json.loads(arguments.child))))
        return
    print("| classes | images | served version | wall s | CPU s | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for classes, images in zip(arguments.classes, arguments.images, strict=True):
        for round_ in range(arguments.rounds):
            task = json.dumps([classes, images, arguments.served, round_])
            command = [sys.executable, "-m", "benchmarks.evaluator", "--child", task]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{classes:,}", f"{images:,}", "yes" if arguments.served else "no"]
            cells += [f"{found['wall']:.1f}", f"{found['cpu']:.1f}", f"{found['memory']:,.0f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 300, 1000])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 2400, 8000], help="as many numbers as classes")
    parser.add_argument("--served", action="store_true", help="with a served version to compare with")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def evaluate(classes: int, images: int, served: bool, _round: int) -> dict[str, float]:
    """Runs one Evaluator on toy models: `wall` and `cpu` in seconds, the largest `memory` of the process in MB."""
    from tfx.dsl.components.base import base_beam_executor
    from tfx.types import standard_artifacts

    from components.contract.gates import override_for
    from components.evaluator.executor import Executor
    from components.options.gates import EvaluatorOptions, QualityGateOptions
    from pipeline.beam import NO_IMAGE, name_runner

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = {
            "examples": [write_examples(folder / "examples", images, classes)],
            "model": [save_model(folder / "model", classes, 7)],
            "baseline_model": [baseline(folder / "baseline", classes, served)],
            "best_model": [baseline(folder / "best", classes, False)],
        }
        made = {
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
            "blessing": [artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
        }
        properties = {
            "options": EvaluatorOptions().to_json(),
            "gate": QualityGateOptions().to_json(),
            "override": override_for("quality", None),
        }
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=name_runner([NO_IMAGE]), tmp_dir=scratch, unique_id="1"
        )
        wall, cpu = time.monotonic(), time.process_time()
        Executor(context).Do(given, made, properties)
        took = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    return {**took, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def write_examples(folder: Path, images: int, classes: int) -> Any:
    """Writes records without pictures: image number i is of class i % classes, and its number is its size in bytes."""
    import tensorflow as tf
    from tfx.types import artifact_utils, standard_artifacts

    from components.contract import features

    split = folder / "Split-eval"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for number in range(images):
            texts = {
                features.IMAGE: f"picture {number}",
                features.LABEL_TEXT: f"class {number % classes:04d}",
                features.FILENAME: f"{number}.png",
                features.SHA256: f"{number:064x}",
                features.FORMAT: "png",
            }
            numbers = {
                features.LABEL: number % classes,
                features.BYTE_SIZE: number,
                features.HEIGHT: 9,
                features.WIDTH: 9,
            }
            example = tf.train.Example()
            for name, text in texts.items():
                example.features.feature[name].bytes_list.value.append(text.encode())
            for name, value in numbers.items():
                example.features.feature[name].int64_list.value.append(value)
            writer.write(example.SerializeToString())
    made = artifact(standard_artifacts.Examples, folder)
    made.split_names = artifact_utils.encode_split_names(["eval"])
    return made


def save_model(folder: Path, classes: int, seed: int) -> Any:
    """Saves a model whose answers are drawn from each image's number: right for most images, unlike for each seed."""
    import tensorflow as tf
    from tfx.types import standard_artifacts

    from components.contract import features

    specs = {name: tf.io.FixedLenFeature([], tf.int64) for name in (features.LABEL, features.BYTE_SIZE)}

    def answer(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, specs)
        number = tf.cast(parsed[features.BYTE_SIZE], tf.float32)[:, None]
        place = tf.range(classes, dtype=tf.float32)[None, :]
        drawn = tf.math.floormod(tf.sin(number * 12.9898 + place * 78.233 + seed) * 43758.547, 1.0)
        logits = 2.0 * drawn + 2.5 * tf.one_hot(parsed[features.LABEL], classes)
        shares = tf.fill(tf.shape(number)[:1], 0.5)
        return {
            features.OUTPUT_PROBABILITIES: tf.nn.softmax(logits),
            features.OUTPUT_OUTLIER: shares,
            features.OUTPUT_KNOWN: shares > 0.05,
        }

    module = tf.Module()
    module.serve = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_EXAMPLES)])
    path = folder / "Format-Serving"
    tf.saved_model.save(module, str(path), signatures={features.SERVE_EXAMPLES: module.serve})
    (path / "assets").mkdir(exist_ok=True)
    labels = [f"class {index:04d}" for index in range(classes)]
    (path / "assets" / features.LABELS_ASSET).write_text("".join(f"{name}\n" for name in labels))
    (path / "assets" / features.FACTS_ASSET).write_text(json.dumps({"classes": labels, "seed": seed}))
    return artifact(standard_artifacts.Model, folder, seed)


def baseline(folder: Path, classes: int, there: bool) -> Any:
    """Writes what BaselineModel leaves: a version to compare with, or none."""
    from tfx.types import standard_artifacts

    from components.contract import features

    folder.mkdir()
    if there:
        save_model(folder, classes, 8)
    row = {"version": 5, "exists": True} if there else {"reason": "no version is being served yet"}
    (folder / features.BASELINE_FILE).write_text(json.dumps(row))
    return artifact(standard_artifacts.Model, folder, 8)


def artifact(kind: Any, folder: Path, identifier: int = 1) -> Any:
    """Makes an artifact of a folder."""
    folder.mkdir(exist_ok=True)
    made = kind()
    made.uri, made.id = str(folder), identifier
    return made


if __name__ == "__main__":
    main()
