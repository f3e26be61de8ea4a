"""Graft's rows: cold, fully cached, after a changed learning rate, after a hundred new images. Each is `graft run`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.compare.measure import Figures, bytes_below, python, run_measured
from benchmarks.compare.task import Task

ROOT = Path(__file__).resolve().parents[2]
NEW_IMAGES = 100
KEPT_SUMMARY = ("seconds", "cached", "trainer", "peak_rss_mb")


class Workdir:
    """One working directory, and the runs in it that are measured."""

    def __init__(self, task: Task, settings: list[str]) -> None:
        self.task, self.settings = task, settings
        self.folder = Path(task.scratch) / "graft"

    def run(self, data: str = "", *more: str) -> dict[str, Any]:
        """Runs `graft run`, and gives a row.

        Args:
            data: other images than the task's.
            more: further `--set` values.
        """
        options = [word for setting in [*self.settings, *more] for word in ("--set", setting)]
        command = python("pipeline", "run", str(self.config()), "--data", data or self.task.data)
        figures = run_measured([*command, "--workdir", str(self.folder), *options], ROOT)
        summary = json.loads((self.folder / "runs" / "latest" / "summary.json").read_text("utf-8"))
        return {
            **make_row(figures, summary["metrics"].get("accuracy"), bytes_below(self.folder)),
            "status": summary["status"],
            "images": summary["dataset"]["train"] + summary["dataset"]["eval"],
            "weights_sha256": (summary["model"] or {}).get("weights_sha256"),
            **{name: summary[name] for name in KEPT_SUMMARY},
        }

    def config(self) -> Path:
        """Writes the configuration of the task: that of `configs/cats_and_dogs.yaml` with the task's sizes."""
        import yaml

        path = Path(self.task.scratch) / "graft.yaml"
        trainer = {
            "backbone_args": {"alpha": self.task.alpha},
            "weights": str(Path(self.task.weights).resolve()),
            "epochs": self.task.epochs,
            "batch_size": self.task.batch_size,
            "seed": self.task.seed,
        }
        content = {"name": "bench", "transform": {"image_size": self.task.image_size}, "trainer": trainer}
        path.write_text(yaml.safe_dump(content), "utf-8")
        return path

    def remove(self) -> None:
        """Deletes it, so that the next run is cold."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make_row(figures: Figures, accuracy: float | None, size: int) -> dict[str, Any]:
    """A row of the comparison."""
    return {
        "wall_seconds": round(figures.wall, 2),
        "cpu_seconds": round(figures.cpu, 2),
        "peak_largest_mb": round(figures.peak_largest / 1e6, 1),
        "peak_all_mb": round(figures.peak_all / 1e6, 1),
        "disk_mb": round(size / 1e6, 2),
        "accuracy": None if accuracy is None else round(accuracy, 4),
    }
