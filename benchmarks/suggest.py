"""What `graft suggest` gains over labelling at random: accuracy after N more labels, from features that a run kept.

    python benchmarks/suggest.py --workdir work/cats-and-dogs

Of the train images some are labelled, the others are to choose from; a ridge regression learns the labelled ones and is
measured on the eval images of the run. Each seed draws other labelled images; chance is the mean of ten draws.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

STEPS = ((4, 10), (10, 10), (20, 20), (40, 40), (100, 50), (400, 100))  # labelled at the start, labelled then
DRAWS = 10


def main() -> None:
    """Measures all steps and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True, help="of a finished run, with its features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    values, labels, is_train, classes = read_run(arguments.workdir)
    print("| labelled | chosen | before | at random | suggested | gain, points | by | beats chance (replay) |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |")
    for start, count in STEPS:
        print(measure(values, labels, is_train, classes, (start, count), arguments.seeds), flush=True)


def read_run(workdir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Reads scaled features, labels, whether each is a train image, and the number of classes."""
    from pipeline.report.inputs import read_inputs
    from pipeline.report.page import make_inputs, read_summary
    from pipeline.suggest.ranking import scale

    run = (workdir / "runs" / "latest").resolve()
    inputs = make_inputs(run, read_summary(run), read_inputs(run), workdir / "features")
    rows = list(inputs.row_of.values())
    values, found = inputs.read_features([row.sha256 for row in rows])
    rows = [row for row, there in zip(rows, found, strict=True) if there]
    labels = np.array([inputs.labels.index(row.label) for row in rows])
    return scale(values[found]), labels, np.array([row.split == "train" for row in rows]), len(inputs.labels)


def measure(
    values: np.ndarray,
    labels: np.ndarray,
    is_train: np.ndarray,
    classes: int,
    step: tuple[int, int],
    seeds: list[int],
) -> str:
    """Measures one step over all seeds: a row of the table."""
    from pipeline.suggest.ranking import choose, fit_head, is_few, replay

    start, count = step
    train, held = np.flatnonzero(is_train), np.flatnonzero(~is_train)

    def accuracy(rows: np.ndarray) -> float:
        scores = fit_head(values[rows], labels[rows], classes).scores(values[held])
        return float((scores.argmax(axis=1) == labels[held]).mean())

    before, chance, chosen, answers = [], [], [], []
    for seed in seeds:
        random = np.random.default_rng(seed)
        known = random.permutation(train)[:start]
        pool = np.setdiff1d(train, known)
        before.append(accuracy(known))
        draws = [random.permutation(pool)[:count] for _ in range(DRAWS)]
        chance.append(statistics.fmean(accuracy(np.concatenate([known, draw])) for draw in draws))
        choice = choose(values[pool], values[known], labels[known], classes, count, seed)
        chosen.append(accuracy(np.concatenate([known, pool[choice.rows]])))
        answers.append(replay(values[known], labels[known], classes, count).beats_chance)
    gains = [100 * (one - other) for one, other in zip(chosen, chance, strict=True)]
    error = statistics.stdev(gains) / len(gains) ** 0.5
    figures = " | ".join(f"{statistics.fmean(column):.3f}" for column in (before, chance, chosen))
    told = "not tried" if None in answers else f"{sum(map(bool, answers))} of {len(answers)}"
    way = "typicality" if is_few(labels[train[:start]], classes) else "uncertainty"
    return f"| {start} | {count} | {figures} | {statistics.fmean(gains):+.1f} ± {error:.1f} | {way} | {told} |"


if __name__ == "__main__":
    main()
