"""The tutorial, an expert's script, a plain TFX pipeline and Graft on the same images, weights and seed, side by side.

    python -m benchmarks.compare --data cats_and_dogs_filtered --weights FILE     (or `make bench ARGS="..."`)

Without --data: the embedded sample and its weights. Every round runs each side once, in turn, so that what else the
machine does meets them alike; the figures are medians, and ratios are taken within a round. `--sizes 750 3000 ...` also
runs Graft cold at growing sizes and plots time and memory. The result is compared with the last one that is committed
for the same TFX line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.compare.graft import NEW_IMAGES, Workdir, make_row
from benchmarks.compare.measure import bytes_below, python, run_measured
from benchmarks.compare.pictures import list_pictures, write_pictures
from benchmarks.compare.report import compare_results, describe_machine, plot_sizes, print_sizes, summarise
from benchmarks.compare.task import Task
from components.process.lines import current_line

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SAMPLE_WEIGHTS = ROOT / "configs" / "sample" / "mobilenet_v2_0.35_digits.weights.h5"
SAMPLE_SIZE = 96


def main() -> None:
    """Runs all rounds, prints the tables, writes the result."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.scratch, prefix="graft-bench-") as scratch:
        task = make_task(arguments, Path(scratch))
        rounds = [run_round(task, arguments, number) for number in range(1, arguments.rounds + 1)]
        result = {"machine": describe_machine(), "task": describe_task(task), "rows": summarise(rounds)}
        if arguments.sizes:
            result["sizes"] = run_sizes(task, arguments)
    name = f"{arguments.name}-{current_line().name}"
    previous = RESULTS / f"{name}.json"
    compare_results(result, json.loads(previous.read_text("utf-8")) if previous.is_file() else None)
    if arguments.sizes:
        print_sizes(result["sizes"])
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        previous.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
        if arguments.sizes:
            plot_sizes(result["sizes"], RESULTS / f"{name}.svg")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of images, class folders or split folders; default: the embedded sample")
    parser.add_argument("--weights", help="of MobileNetV2 without top; needed with --data")
    parser.add_argument("--alpha", type=float, default=0.35, help="width of MobileNetV2")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=20, help="of Graft's head; the others have the tutorial's ten")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="numbers of images, to see how cost grows")
    parser.add_argument("--only", nargs="*", choices=SIDES, default=list(SIDES), help="some sides only")
    parser.add_argument("--scratch", help="where to work; default: the system's temporary folder")
    parser.add_argument(
        "--name", default="cats_and_dogs", help="of the result in benchmarks/results, before the TFX line"
    )
    parser.add_argument("--save", action="store_true", help="write the result there")
    return parser.parse_args()


def make_task(arguments: argparse.Namespace, scratch: Path) -> Task:
    """The task of the command line, or that of the embedded sample."""
    if arguments.data:
        if not arguments.weights:
            raise SystemExit("--weights: expected a weights file of MobileNetV2 without top, got none.")
        found = Task(arguments.data, arguments.weights, str(scratch), arguments.alpha, arguments.image_size)
        return replace(found, epochs=arguments.epochs, data=str(Path(arguments.data).resolve()))
    from pipeline.sample import write_sample

    arguments.name = "sample" if arguments.name == "cats_and_dogs" else arguments.name
    data = write_sample("sample:digits", scratch)
    return Task(str(data), str(SAMPLE_WEIGHTS), str(scratch), 0.35, SAMPLE_SIZE, epochs=arguments.epochs)


def describe_task(task: Task) -> dict[str, Any]:
    """What was asked, without the paths of this machine."""
    images = list_pictures(Path(task.data))
    return {
        "images": len(images),
        "input_mb": round(sum(path.stat().st_size for path in images) / 1e6, 2),
        **{name: getattr(task, name) for name in ("alpha", "image_size", "epochs", "batch_size", "seed")},
    }


def run_round(task: Task, arguments: argparse.Namespace, number: int) -> dict[str, dict[str, Any]]:
    """Every side once."""
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.only:
        say(f"round {number} of {arguments.rounds}: {name}...")
        rows |= SIDES[name](task)
        say("  " + ", ".join(f"{row}: {figures_of(found)}" for row, found in rows.items() if row.startswith(name)))
    return rows


def figures_of(row: dict[str, Any]) -> str:
    """A row in a few words."""
    if "wall_seconds" in row:
        return f"{row['wall_seconds']:.1f} s, {row['cpu_seconds']:.1f} s of CPU, accuracy {row['accuracy']}"
    return ", ".join(f"{name} {value:,.5g}" for name, value in row.items())


def run_script(module: str, task: Task) -> dict[str, Any]:
    """Runs one of the other sides in a process of its own."""
    scratch = Path(tempfile.mkdtemp(dir=task.scratch))
    own = replace(task, scratch=str(scratch))
    figures = run_measured(python(module, str(own.write(scratch / "task.json"))), ROOT)
    answer = json.loads(figures.output.strip().splitlines()[-1])
    row = make_row(figures, answer["accuracy"], bytes_below(scratch)) if "accuracy" in answer else answer
    shutil.rmtree(scratch)
    return row


def run_graft(task: Task) -> dict[str, dict[str, Any]]:
    """Graft's four rows, in a fresh working directory."""
    workdir = Workdir(task, [])
    workdir.remove()
    most = grow(task, without=NEW_IMAGES)
    rows = {
        "graft cold": workdir.run(),
        "graft cached": workdir.run(),
        "graft learning rate": workdir.run("", "trainer.learning_rate=0.002"),
    }
    workdir.remove()
    workdir.run(str(most))
    grow(task, without=0)
    rows["graft 100 new images"] = workdir.run(str(most))
    workdir.remove()
    shutil.rmtree(most)
    return rows


def grow(task: Task, without: int) -> Path:
    """A copy of the images with hard links, without the last few; called again with fewer left out, it grows."""
    target = Path(task.scratch) / "growing"
    images = list_pictures(Path(task.data))
    left_out = set(images[:: max(1, len(images) // without)][:without]) if without else set()
    for path in images:
        copy = target / path.relative_to(task.data)
        if path not in left_out and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    return target


def run_sizes(task: Task, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Graft cold, and the floor, at growing sizes."""
    rows = []
    for size in arguments.sizes:
        say(f"{size:,} images: writing them...")
        data = Path(task.scratch) / f"images-{size}"
        write_pictures(Path(task.data), data, size)
        sized = replace(task, data=str(data))
        workdir = Workdir(sized, [])
        say(f"{size:,} images: the floor, then Graft...")
        floor = run_script("benchmarks.compare.floor", sized)
        row = {"images": size, "input_mb": round(bytes_below(data) / 1e6, 1), **workdir.run(), "floor": floor}
        say(f"  {figures_of(row)}, {row['peak_all_mb']:,.0f} MB")
        rows.append(row)
        workdir.remove()
        shutil.rmtree(data)
    return rows


def say(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)


SIDES = {
    "tutorial": lambda task: {"tutorial": run_script("benchmarks.compare.tutorial", task)},
    "script": lambda task: {"script": run_script("benchmarks.compare.script", task)},
    "plain TFX": lambda task: {"plain TFX": run_script("benchmarks.compare.plain_tfx", task)},
    "graft": run_graft,
    "floor": lambda task: {"floor": run_script("benchmarks.compare.floor", task)},
}


if __name__ == "__main__":
    main()
