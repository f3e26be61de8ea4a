"""A training on disk after each epoch or some steps, so that a killed run goes on from there, bit for bit.

A file is a line with the sha256 of the rest, and the rest: a NumPy archive. It is written under another name and then
renamed, so that a crash leaves no half a file under the real one; the sha256 finds what a disk does to it later.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import time
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from components.files.digests import seal, unseal
from components.files.paths import (
    PARTIAL,
    list_names,
    make_folder,
    read_bytes,
    remove,
    remove_folder,
    rename,
    write_atomically,
)
from components.trainer.devices.strategy import broadcast
from components.trainer.devices.tf_config import is_chief
from components.trainer.training.step import AdamState

progress = logging.getLogger("graft.progress")
log = logging.getLogger("graft.run")

KEPT = 2
CHECKPOINT_NAME = re.compile(r"epoch-(\d{6})(?:-step-(\d{6}))?\.ckpt")
DAMAGE = (ValueError, KeyError, OSError, EOFError, TypeError)  # what NumPy, zipfile and JSON raise on garbage


@dataclass(frozen=True)
class TrainingState:
    """How far a training has come.

    Attributes:
        adam: parameters and moments after `epoch` epochs and `step` steps.
        epoch: how many epochs are done.
        best: float64 [p], the parameters with the lowest validation loss; the latest where nothing is held out.
        history: a list a name, of a number an epoch.
        step: how many steps of the next epoch are done.
        sums: over the images of these steps, the loss, and how many were right.
        loss_scale: in float16, and the steps since it was last changed; see `precision.LossScale`.
    """

    adam: AdamState
    epoch: int = 0
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    history: dict[str, list[float]] = field(default_factory=dict)
    step: int = 0
    sums: tuple[float, ...] = (0.0, 0.0)
    loss_scale: tuple[float, int] = (1.0, 0)

    @classmethod
    def first(cls, params: np.ndarray, loss_scale: tuple[float, int] = (1.0, 0)) -> TrainingState:
        """Gives the state before the first step, from parameters float64 [p]."""
        return cls(AdamState.first(params), best=params, loss_scale=loss_scale)

    def after(self, adam: AdamState, logs: dict[str, float]) -> TrainingState:
        """Gives the state one epoch later; without `val_loss` in the logs the latest parameters are the best."""
        losses = self.history.get("val_loss", [])
        better = "val_loss" not in logs or not losses or logs["val_loss"] < min(losses)
        history = {name: [*self.history.get(name, []), value] for name, value in logs.items()}
        best = adam.params if better else self.best
        return TrainingState(adam, self.epoch + 1, best, history, loss_scale=self.loss_scale)

    def to_bytes(self) -> bytes:
        """Packs the state into a NumPy archive: the inverse of `from_bytes`."""
        place = {"epoch": self.epoch, "step": self.step, "sums": self.sums, "scale": self.loss_scale}
        facts = json.dumps({**place, "history": self.history})
        buffer = io.BytesIO()
        np.savez(buffer, facts=np.frombuffer(facts.encode(), np.uint8), best=self.best, **self.adam._asdict())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> TrainingState:
        """Reads what `to_bytes` packed; floats come back bit for bit.

        Raises:
            ValueError, KeyError, OSError: these are not such bytes.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            adam = AdamState(*(stored[name] for name in AdamState._fields))
            sums, loss_scale = tuple(facts["sums"]), tuple(facts["scale"])
            return cls(adam, facts["epoch"], stored["best"], facts["history"], facts["step"], sums, loss_scale)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: local or remote; one training's own, see `checkpoints_of`.
        name: what is trained, in words for the log.
    """

    folder: str
    name: str

    def save(self, state: TrainingState) -> None:
        """Writes a checkpoint and keeps the last two.

        A disk that is full costs the checkpoint, not the training.
        """
        within = f"-step-{state.step:06d}" if state.step else ""
        path = os.path.join(self.folder, f"epoch-{state.epoch:06d}{within}.ckpt")
        try:
            make_folder(self.folder)
            write_atomically(path, seal(state.to_bytes()))
            for old in self._paths()[:-KEPT]:
                remove(old)
        except OSError as error:
            log.warning("checkpoint %s could not be written, training goes on without it: %s", path, error)

    def load(self) -> TrainingState | None:
        """Reads the newest checkpoint that is sound; sets damaged ones aside and names them."""
        for name in list_names(self.folder, PARTIAL):
            remove(os.path.join(self.folder, name))
        for path in reversed(self._paths()):
            try:
                return TrainingState.from_bytes(unseal(read_bytes(path)))
            except DAMAGE as error:
                self._set_aside(path, error)
        return None

    def _set_aside(self, path: str, error: Exception) -> None:
        aside = f"{path}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}"
        rename(path, aside)
        progress.info("%s: checkpoint %s is damaged, going back one", self.name, os.path.basename(path))
        log.warning("checkpoint %s is damaged (%s): kept as %s, the one before is used", path, error, aside)

    def _paths(self) -> list[str]:
        """Oldest first."""
        found = (CHECKPOINT_NAME.fullmatch(name) for name in list_names(self.folder))
        names = sorted((int(match[1]), int(match[2] or 0), match[0]) for match in found if match)
        return [os.path.join(self.folder, name) for _, _, name in names]


def digest_training(values: np.ndarray, labels: np.ndarray, held: np.ndarray, *facts: str) -> str:
    """Gives the sha256 of all that decides where a training goes: features, labels, who is held out, options."""
    digest = hashlib.sha256(json.dumps([list(values.shape), *facts, tf.__version__, np.__version__]).encode())
    for array in (values, labels, held):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def checkpoints_of(folder: str, digest: str, name: str) -> Checkpoints | None:
    """Gives the checkpoints of the training with this digest: another training finds nothing there.

    None for a worker that is not the chief, which alone writes, or without a folder.
    """
    return Checkpoints(os.path.join(folder, digest[:32]), name) if folder and is_chief() else None


def resume_training(
    strategy: tf.distribute.Strategy, checkpoints: Checkpoints | None, name: str
) -> TrainingState | None:
    """Reads how far an earlier training came, in the chief, which tells the other workers; None if there is none."""
    found = checkpoints.load() if checkpoints else None
    content = broadcast(strategy, found.to_bytes() if found else b"")
    if not content:
        return None
    state = TrainingState.from_bytes(content)
    place = f"epoch {state.epoch}" + (f", step {state.step}" if state.step else "")
    progress.info("%s: going on after %s, from a checkpoint", name, place)
    return state


def remove_checkpoints(folder: str) -> None:
    """Removes the checkpoints of all trainings: for the end of a run, when the model is written."""
    remove_folder(folder)
