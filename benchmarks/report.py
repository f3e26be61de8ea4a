"""Measures the page of a finished run: seconds a section, size, and memory, in a process of its own.

    python -m benchmarks.report work/cats-and-dogs [--run latest] [--rounds 3]

Gathers again what the node Report gathered, from the artifacts of the run. `start` is the memory of the process before
(TensorFlow and TFX are loaded, as in a run), `peak` the most that it held. Best of the rounds; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from pathlib import Path
from typing import Any

from components.report.inputs import ReportInputs
from components.report.page import gather_content, render
from pipeline.process.progress import quiet_tensorflow
from pipeline.report.inputs import read_inputs
from pipeline.report.page import make_inputs, read_summary


def main() -> None:
    """Prints the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdir", type=Path, help="working directory with a finished run")
    parser.add_argument("--run", default="latest", help="id of the run")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts")
    arguments = parser.parse_args()
    quiet_tensorflow()
    logging.disable(logging.INFO)
    run = (arguments.workdir / "runs" / arguments.run).resolve()
    load_libraries()
    start = peak_mb()
    rounds = [measure(run, arguments.workdir / "features") for _ in range(arguments.rounds)]
    print(
        json.dumps({**min(rounds, key=lambda row: row["seconds"]), "start_mb": start, "peak_mb": peak_mb()}, indent=2)
    )


def load_libraries() -> None:
    """Loads what a run has loaded when the node begins."""
    import pipeline.dag  # noqa: F401


def measure(run: Path, features_dir: Path) -> dict[str, Any]:
    """Gathers and writes the page once."""
    inputs: ReportInputs = make_inputs(run, read_summary(run), read_inputs(run), features_dir)
    started = time.monotonic()
    content = gather_content(inputs, tolerant=False)
    gathered = time.monotonic()
    html = render(content)
    sections = {name: row["seconds"] for name, row in content["sections"].items()}
    return {
        "images": inputs.dataset["train"] + inputs.dataset["eval"],
        "seconds": round(time.monotonic() - started, 2),
        "sections": sections,
        "pictures": len(content["pictures"]),
        "pictures_seconds": round(gathered - started - sum(sections.values()), 2),
        "html_mb": round(len(html.encode()) / 1e6, 2),
    }


def peak_mb() -> int:
    """Measures the most memory that this process has held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
