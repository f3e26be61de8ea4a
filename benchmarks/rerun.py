"""The Trainer's time for a first run, for a changed head, and for added images; each in a process of its own.

    python benchmarks/rerun.py --data photos --weights mobilenet_v2_0.35_no_top.h5 --backbone-args '{"alpha": 0.35}'

`photos` holds a folder a class, in any depth. A round is a first run with nothing kept, one with another learning rate
and dropout, and one with images added. The clock starts when TensorFlow and TFX are loaded, as they are in `graft run`
when the Trainer begins, and stops when `run_fn` returns. CPU time is of all threads: it counts work whatever else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from features import find_images, write_records, write_transform

ADDED = 100  # images that the last run of a round has on top


def main() -> None:
    """Runs all rounds and prints a Markdown table; as a child, runs one Trainer and prints its figures."""
    arguments = parse_arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    if arguments.child:
        print(json.dumps(train(json.loads(arguments.child))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [measure_round(arguments, Path(scratch), number) for number in range(1, arguments.rounds + 1)]
    print_table(rounds)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with a folder of JPEGs or PNGs a class, in any depth")
    parser.add_argument("--weights", default="none", help="weights file or `imagenet`")
    parser.add_argument("--backbone", default="MobileNetV2", help="a row of the table")
    parser.add_argument("--backbone-args", default="{}", type=json.loads, help="JSON, such as '{\"alpha\": 0.35}'")
    parser.add_argument("--size", type=int, default=160, help="side of the images, pixels")
    parser.add_argument("--limit", type=int, default=3000, help="how many images; a third of them for evaluation")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_round(arguments: argparse.Namespace, scratch: Path, number: int) -> dict[str, dict[str, Any]]:
    """First run, changed head, added images: figures by name."""
    if number == 1:
        write_data(arguments, scratch)
    options = {
        "backbone": arguments.backbone,
        "backbone_args": arguments.backbone_args,
        "weights": arguments.weights,
    }
    head = {**options, "learning_rate": 0.002, "dropout": 0.4}
    found = {}
    for name, chosen, train_files in (("first", options, "some"), ("head", head, "some"), ("added", options, "*")):
        task = {"options": chosen, "scratch": str(scratch), "round": number, "train": train_files, "name": name}
        command = [sys.executable, __file__, "--child", json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"round {number}, {name}: {found[name]}", file=sys.stderr)
    return found


def write_data(arguments: argparse.Namespace, scratch: Path) -> None:
    """Records of the train split in two files (the second with what is added), of the eval split, and the graph."""
    names = find_images(Path(arguments.data), arguments.limit)
    evaluation, train = names[::3], [name for place, name in enumerate(names) if place % 3]
    for folder in ("train", "eval"):
        (scratch / folder).mkdir()
    write_records(train[ADDED:], scratch / "train" / "some")
    write_records(train[:ADDED], scratch / "train" / "some-more")
    write_records(evaluation, scratch / "eval" / "all")
    write_transform(str(scratch / "transform"), arguments.size)


def train(task: dict[str, Any]) -> dict[str, Any]:
    """Runs the Trainer's `run_fn` once."""
    import tensorflow_transform  # noqa: F401  what is loaded when the Trainer of a pipeline begins
    from tfx.components.trainer import component  # noqa: F401

    from components.contract import features
    from components.options.trainer import TrainerOptions

    scratch, run = Path(task["scratch"]), Path(task["scratch"], f"{task['name']}-{task['round']}")
    fn_args = SimpleNamespace(
        custom_config={
            "options": TrainerOptions.model_validate(task["options"]).to_json(),
            "features_dir": str(scratch / f"features-{task['round']}"),
            "source_fingerprint": "of the benchmark",
        },
        transform_output=str(scratch / "transform"),
        train_files=[str(scratch / "train" / task["train"])],
        eval_files=[str(scratch / "eval" / "*")],
        serving_model_dir=str(run / "export"),
        model_run_dir=str(run / "run"),
        hyperparameters=None,
    )
    start, cpu = time.monotonic(), time.process_time()
    from components.trainer.train import run_fn

    run_fn(fn_args)
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    history = json.loads((run / "run" / features.HISTORY_FILE).read_text())
    return {"seconds": round(seconds, 2), "cpu": round(cpu, 2), "computed": history["features_computed"]}


def print_table(rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Markdown: medians over the rounds, and the shares taken within each round."""
    labels = {"first": "first run", "head": "another learning rate and dropout", "added": f"{ADDED} images added"}
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {len(rounds)} rounds\n")
    print("| what | features computed | s | CPU s | of the first: s | CPU s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, label in labels.items():
        middle = {key: statistics.median(row[name][key] for row in rounds) for key in ("seconds", "cpu", "computed")}
        shares = [statistics.median(row[name][key] / row["first"][key] for row in rounds) for key in ("seconds", "cpu")]
        cells = f"{middle['computed']:,.0f} | {middle['seconds']:.1f} | {middle['cpu']:.1f}"
        print(f"| {label} | {cells} | {shares[0]:.0%} | {shares[1]:.0%} |")


if __name__ == "__main__":
    main()
