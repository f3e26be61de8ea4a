"""How each stage of Graft grows to a million images and 1,000 classes: two sizes measured, a third from both.

    python -m benchmarks.scale --records 50000 200000 --classes 1000 --work DIR

Features, hashes and answers are generated, and image files are a few hundred bytes that nobody decodes; the records are
tf.Examples as ImageExampleGen writes them, and the code of each stage is its own. Every stage runs in a process of its
own, so that the peak memory is that stage's. `--only` names stages, which find what earlier calls left in `--work`.
A million: by the line through both points, or by their power where that is over 1; an exponent of time over 1.15, and
more than 4 GB beside the features, are marked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.report import describe_machine
from benchmarks.scale.measured import exponent, extrapolate, read_figures

MILLION = 1_000_000
STEEP = 1.15
SECONDS = 1.0  # of processor time, below which an exponent says nothing
ROOM_MB = 4000
FEATURES_MB = 3413  # of 1,280 float32 an image, the train split of a million; the eval split's are not held
HELD = 0.9  # of that growth, from which on a stage counts as one that holds features
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measures all stages at both sizes, prints the table, and writes the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs=2, default=[50_000, 200_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--work", type=Path, required=True, help="folder for generated data: 15 GB at these sizes")
    parser.add_argument("--only", nargs="+", default=[], help="functions of benchmarks/scale/stages.py")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds a stage may take")
    parser.add_argument("--output", type=Path, help="JSON file of all figures, those of other stages kept")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments)
        return
    from benchmarks.scale.stages import ALL, name_of

    chosen = [run for run in ALL if run.__name__ in (arguments.only or [run.__name__])]
    rows = dict[str, dict[str, Any]]()
    for run in chosen:
        rows[name_of(run)] = {str(size): measure(run.__name__, size, arguments) for size in arguments.records}
        print(name_of(run), json.dumps(rows[name_of(run)]), file=sys.stderr, flush=True)
    print(make_table(rows, tuple(arguments.records)))
    if arguments.output:
        before = json.loads(arguments.output.read_text())["stages"] if arguments.output.exists() else {}
        order = [name_of(run) for run in ALL]
        found = before | rows
        kept = {name: found[name] for name in order if name in found}  # a stage that is no more is left out
        facts = {"machine": describe_machine(), "day": time.strftime("%Y-%m-%d"), "classes": arguments.classes}
        arguments.output.write_text(json.dumps({**facts, "stages": kept}, indent=1) + "\n")


def run_stage(arguments: argparse.Namespace) -> None:
    """Runs one stage in this process; `made` makes the data."""
    from benchmarks.scale import stages
    from benchmarks.scale.made import Place, make_data

    size = arguments.records[0]
    place = Place(arguments.work / str(size), size, arguments.classes)
    Path(place.at("tmp")).mkdir(parents=True, exist_ok=True)
    make_data(place) if arguments.stage == "made" else getattr(stages, arguments.stage)(place)


def measure(stage: str, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one stage at one size in a process of its own; gives its figures, or why there are none."""
    if not (arguments.work / str(size) / "made").exists():
        start("made", size, arguments)
    try:
        return read_figures(start(stage, size, arguments))
    except subprocess.TimeoutExpired:
        return {"problem": f"over {arguments.timeout:,.0f} s"}


def start(stage: str, size: int, arguments: argparse.Namespace) -> str:
    """Runs one stage in a process of its own; gives its standard output.

    Raises:
        SystemExit: the stage failed; the message has its last lines.
    """
    command = [sys.executable, "-m", "benchmarks.scale", "--stage", stage, "--records", str(size), str(size)]
    command += ["--classes", str(arguments.classes), "--work", str(arguments.work.resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=arguments.timeout, check=False)
    if done.returncode:
        raise SystemExit(f"{stage} at {size:,} failed:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-25:]))
    return done.stdout


def make_table(rows: dict[str, dict[str, Any]], sizes: tuple[int, int]) -> str:
    """Makes the table: processor seconds, wall seconds and MB at both sizes, exponents, and a million of each."""
    small, large = (f"{size:,}" for size in sizes)
    head = ["stage", f"CPU s, {small}", large, "exponent", "a million", f"s, {small}", large]
    head += [f"peak MB, {small}", large, "a million"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] + ["---:"] * (len(head) - 1)) + " |"]
    for name, found in rows.items():
        pair = [found[str(size)] for size in sizes]
        if problem := next((row["problem"] for row in pair if "problem" in row), ""):
            lines.append(f"| {name} | {problem} |" + " |" * (len(head) - 2))
            continue
        cpu, wall, peak = ((pair[0][key], pair[1][key]) for key in ("cpu_seconds", "seconds", "peak_mb"))
        power = exponent(cpu[0], cpu[1], sizes[1] / sizes[0]) or 0.0
        steep = "**" if power > STEEP and cpu[1] > SECONDS else ""
        memory = extrapolate(sizes, peak, MILLION)
        # Features are held by those stages whose peak grows by as much as they take.
        holds = (peak[1] - peak[0]) / (sizes[1] - sizes[0]) * MILLION > HELD * FEATURES_MB
        large_ = "**" if memory - (FEATURES_MB if holds else 0) > ROOM_MB else ""
        cells = [name, *(f"{value:,.1f}" for value in cpu), f"{steep}{power:.2f}{steep}"]
        cells += [f"{extrapolate(sizes, cpu, MILLION):,.0f}", *(f"{value:,.1f}" for value in wall)]
        cells += [*(f"{value:,.0f}" for value in peak), f"{large_}{memory:,.0f}{large_}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
