"""What networks and sizes give and cost: accuracy, images a second, cold seconds and the export's size.

    python benchmarks/backbones.py --data cats_and_dogs_filtered --mobilenet mobilenet_v2_0.35_no_top.h5

Each row is a whole `graft run` without a network connection: cold with the first seed, with its features kept for the
others. Rows alternate, seed by seed, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = ("network", "accuracy a seed", "images/s", "cold, s", "export, MB")


@dataclass
class Row:
    """One network at one size.

    Attributes:
        name: for people.
        settings: words of the command line.
        summaries: of its runs, a seed each.
        megabytes: of the version that the first run pushed, with all that is in it.
    """

    name: str
    settings: list[str]
    summaries: list[dict[str, Any]] = field(default_factory=list)
    megabytes: float = 0.0


def main() -> None:
    """Measures all rows and prints a Markdown table."""
    arguments = parse_arguments()
    rows = [Row(f"preset {name}", ["--preset", name]) for name in ("fast", "balanced", "best")]
    if arguments.mobilenet:
        settings = ("trainer.backbone=MobileNetV2", "trainer.backbone_args.alpha=0.35", "transform.image_size=160")
        words = [
            word for setting in (*settings, f"trainer.weights={arguments.mobilenet}") for word in ("--set", setting)
        ]
        rows.append(Row("MobileNetV2 of width 0.35, 160 px", words))
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        for seed in arguments.seeds:
            for number, row in enumerate(rows):
                run(row, arguments.data, seed, Path(scratch, str(number)))
                print(f"seed {seed}: {row.name}: {row.summaries[-1]['metrics']['accuracy']:.4f}", file=sys.stderr)
    print("| " + " | ".join(HEADINGS) + " |\n| --- | --- | ---: | ---: | ---: |")
    for row in rows:
        print("| " + " | ".join(describe(row)) + " |")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of splits, with a folder of images a class")
    parser.add_argument("--mobilenet", type=Path, help="ImageNet weights of MobileNetV2 of width 0.35, as a row beside")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--scratch", help="where working directories are made, and removed")
    return parser.parse_args()


def run(row: Row, data: Path, seed: int, workdir: Path) -> None:
    """Runs the pipeline once, and keeps what it says."""
    command = [
        "unshare",
        "-rn",
        sys.executable,
        "-m",
        "pipeline",
        "run",
        str(data.resolve()),
        "--workdir",
        str(workdir),
    ]
    command += [*row.settings, "--set", f"trainer.seed={seed}", "-q"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):  # a gate may refuse a seed that is a little worse than the one before
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    row.summaries.append(json.loads((workdir / "runs" / "latest" / "summary.json").read_text("utf-8")))
    files = Path(row.summaries[0]["model"]["path"]).rglob("*")
    row.megabytes = row.megabytes or sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def describe(row: Row) -> list[str]:
    """The cells of a row."""
    first = row.summaries[0]
    accuracies = ", ".join(f"{summary['metrics']['accuracy']:.3f}" for summary in row.summaries)
    rate, seconds = first["trainer"]["images_per_second"], first["seconds"]["total"]
    return [row.name, accuracies, f"{rate:.0f}", f"{seconds:.0f}", f"{row.megabytes:.1f}"]


if __name__ == "__main__":
    main()
