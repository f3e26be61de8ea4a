"""Flipped labels: how many are found, at what precision, and whether the file of them restores the accuracy.

    python benchmarks/label_errors.py --data cats_and_dogs_filtered --weights mobilenet_v2_0.35_no_top.h5

`data` holds two or more splits with a folder a class each, as `graft run` reads them. For each share and seed that many
labels of both sides are flipped, in a tree of links; `graft run` makes a page, and `graft run` with the page's
`label_errors.csv` as `data.corrections` a second one. Accuracy is over the eval images: by their right labels, and as
the run itself says it, by the labels that it was given. All runs share one feature store.

    python benchmarks/label_errors.py --data cats_and_dogs_filtered --kept work/cats-and-dogs

takes features that a run of the unchanged data kept and flips labels in memory: seconds, but no accuracy.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.report.inputs import ReportInputs

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = (
    *("flipped", "seed", "suggested", "precision", "recall", "average precision"),
    *("accuracy with flips", "after the file", "as the runs say"),
)


def main() -> None:
    """Measures all shares and seeds, and prints a Markdown table."""
    arguments = parse_arguments()
    sys.path.insert(0, str(ROOT))
    if arguments.kept:
        judge_kept(arguments)
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        right = link_tree(arguments.data, folder / "clean", set())
        clean = run_graft(arguments, folder, "clean")
        print(f"clean: {measure_accuracy(clean, right):.4f}\n\n| " + " | ".join(HEADINGS) + " |", flush=True)
        print("| " + " | ".join(["---:"] * len(HEADINGS)) + " |", flush=True)
        for share in arguments.shares:
            for seed in arguments.seeds:
                print("| " + " | ".join(measure(arguments, folder, share, seed, right)) + " |", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of splits, with a folder of images a class")
    parser.add_argument("--weights", default="imagenet", help="weights file, or `imagenet`")
    parser.add_argument("--kept", type=Path, help="working directory of a run over the unchanged data: run nothing")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "cats_and_dogs.yaml")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--scratch", help="where links and working directories are made, and removed")
    return parser.parse_args()


def judge_kept(arguments: argparse.Namespace) -> None:
    """Prints precision, recall and average precision of flips in memory, over the features of one run."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    from components.report.label_errors import find_label_errors
    from components.report.sections.label_errors import group_rows

    inputs = read_inputs_of(arguments.kept / "runs" / "latest")
    rows = list(inputs.row_of.values())
    values, found = inputs.read_features([row.sha256 for row in rows])
    rows = [row for row, there in zip(rows, found, strict=True) if there]
    right = np.array([inputs.labels.index(row.label) for row in rows])
    groups = group_rows(rows, inputs)
    print("| " + " | ".join(HEADINGS[:6]) + " |\n| " + " | ".join(["---:"] * 6) + " |")
    for share in (0.0, *arguments.shares):
        for seed in arguments.seeds:
            wrong = np.zeros(len(rows), bool)
            wrong[random.Random(seed).sample(range(len(rows)), round(share * len(rows)))] = True
            labels = np.where(wrong, (right + 1) % len(inputs.labels), right)
            judged = find_label_errors(values[found], labels, inputs.labels, groups)
            likely = judged.rows[judged.likely]
            hits = wrong[likely] & (judged.suggested[judged.likely] == right[likely])
            cells = [hits.sum() / max(len(likely), 1), hits.sum() / max(wrong.sum(), 1)]
            cells.append(average_precision_score(wrong[judged.rows], judged.score) if wrong.any() else 0.0)
            figures = [f"{cell:.3f}" if wrong.any() else "-" for cell in cells]
            print(f"| {share:.0%} ({wrong.sum()}) | {seed} | {len(likely)} | " + " | ".join(figures) + " |", flush=True)


def read_inputs_of(run: Path) -> ReportInputs:
    """Reads what the page of a run is made of."""
    from pipeline.report.inputs import read_inputs
    from pipeline.report.page import make_inputs

    place = run.resolve()
    return make_inputs(place, read_summary(run), read_inputs(place), place.parent.parent / "features")


def list_images(data: Path) -> list[Path]:
    """Lists all files in class folders of the splits, sorted."""
    return sorted(path for path in data.glob("*/*/*") if path.is_file())


def link_tree(data: Path, target: Path, flipped: set[Path]) -> dict[str, str]:
    """Links all images below `target`, some of them in another class's folder: {file name: right class}."""
    classes = sorted({path.parent.name for path in list_images(data)})
    right = {}
    for path in list_images(data):
        label = path.parent.name
        shown = classes[(classes.index(label) + 1) % len(classes)] if path in flipped else label
        place = target / path.parent.parent.name / shown / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.resolve())
        right[path.name] = label
    return right


def run_graft(arguments: argparse.Namespace, folder: Path, name: str, *more: str) -> Path:
    """Runs `graft run` on one tree, with the features of the runs before it; gives the run's folder."""
    work = folder / f"{name}-work{len(more)}"
    work.mkdir()
    (folder / "features").mkdir(exist_ok=True)
    (work / "features").symlink_to(folder / "features")
    command = [sys.executable, "-m", "pipeline", "run", str(arguments.config), "--data", str(folder / name)]
    command += ["--workdir", str(work), "--set", f"trainer.weights={arguments.weights}", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return work / "runs" / "latest"


def measure(arguments: argparse.Namespace, folder: Path, share: float, seed: int, right: dict[str, str]) -> list[str]:
    """Measures one share and seed: the cells of a row."""
    images = list_images(arguments.data)
    flipped = set(random.Random(seed).sample(images, round(share * len(images))))
    name = f"{share}-{seed}"
    link_tree(arguments.data, folder / name, flipped)
    before = run_graft(arguments, folder, name)
    file = before / "label_errors.csv"
    after = run_graft(arguments, folder, name, "--set", f"data.corrections={file}")
    wrong = {path.name for path in flipped}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["action"] == "relabel"]
    found = [Path(row["path"]).name for row in rows if right[Path(row["path"]).name] == row["suggested"]]
    hits = len(wrong & set(found))
    cells = [hits / max(len(rows), 1), hits / len(wrong), rank(before, wrong)]
    cells += [measure_accuracy(before, right), measure_accuracy(after, right)]
    said = " to ".join(f"{read_summary(run)['metrics']['accuracy']:.3f}" for run in (before, after))
    return [f"{share:.0%} ({len(wrong)})", str(seed), str(len(rows)), *(f"{cell:.3f}" for cell in cells), said]


def rank(run: Path, wrong: set[str]) -> float:
    """Average precision of the margin over all judged images."""
    from sklearn.metrics import average_precision_score

    from components.report.sections.label_errors import judge_labels

    rows, found = judge_labels(read_inputs_of(run))
    truth = [Path(rows[index].name).name in wrong for index in found.rows]
    return float(average_precision_score(truth, found.score))


def measure_accuracy(run: Path, right: dict[str, str]) -> float:
    """Share of the eval images that the run's model answers rightly, by their right labels."""
    import pyarrow.parquet as pq

    place = run.resolve()
    evaluation = json.loads((place / "inputs.json").read_text("utf-8"))["artifacts"]["Evaluator"]["evaluation"]
    table = pq.read_table(Path(evaluation, "images.parquet")).to_pydict()
    classes = read_summary(run)["dataset"]["classes"]
    pairs = zip(table["name"], table["candidate/predicted"], strict=True)
    answers = [classes[index] == right[Path(name).name] for name, index in pairs]
    return sum(answers) / len(answers)


def read_summary(run: Path) -> dict[str, Any]:
    """Reads the summary of a run."""
    return dict(json.loads((run / "summary.json").read_text("utf-8")))


if __name__ == "__main__":
    main()
