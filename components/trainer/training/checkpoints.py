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

from components.files.atomic import seal, unseal
from components.trainer.training.step import LoopState

progress = logging.getLogger("graft.progress")
log = logging.getLogger("graft.run")

KEPT = 2
FILE_NAME = re.compile(r"epoch-(\d{6})(?:-step-(\d{6}))?\.ckpt")
DAMAGE = (ValueError, KeyError, OSError, EOFError, TypeError)  # what NumPy, zipfile and JSON raise on garbage


@dataclass(frozen=True)
class TrainingState:
    """How far a training has come.

    Attributes:
        state: parameters and moments after `epoch` epochs.
        epoch: how many are done.
        best: float64 [p], the parameters with the lowest validation loss; those of `state` where nothing is held out.
        history: per epoch, a list a name.
        step: how many steps of the epoch after those are done.
        sums: over the images of these steps, the loss, and how many were right.
        scale: of the loss in float16, and the steps since it was last changed; see `precision.LossScale`.
    """

    state: LoopState
    epoch: int = 0
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    history: dict[str, list[float]] = field(default_factory=dict)
    step: int = 0
    sums: tuple[float, ...] = (0.0, 0.0)
    scale: tuple[float, int] = (1.0, 0)

    def after(self, state: LoopState, logs: dict[str, float]) -> TrainingState:
        """One epoch later; without `val_loss` in the logs the latest parameters are the best."""
        losses = self.history.get("val_loss", [])
        better = "val_loss" not in logs or not losses or logs["val_loss"] < min(losses)
        history = {name: [*self.history.get(name, []), value] for name, value in logs.items()}
        best = state.params if better else self.best
        return TrainingState(state, self.epoch + 1, best, history, scale=self.scale)

    def to_bytes(self) -> bytes:
        """The inverse of `from_bytes`."""
        place = {"epoch": self.epoch, "step": self.step, "sums": self.sums, "scale": self.scale}
        facts = json.dumps({**place, "history": self.history})
        buffer = io.BytesIO()
        np.savez(buffer, facts=np.frombuffer(facts.encode(), np.uint8), best=self.best, **self.state._asdict())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> TrainingState:
        """The inverse of `to_bytes`; floats come back bit for bit.

        Raises:
            ValueError, KeyError, OSError: these are not such bytes.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            state = LoopState(*(stored[name] for name in LoopState._fields))
            place = {"epoch": facts["epoch"], "step": facts["step"]}
            place |= {name: tuple(facts[name]) for name in ("sums", "scale")}
            return cls(state, best=stored["best"], history=facts["history"], **place)


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: local or remote; one training's own, see `checkpoints_of`.
        stage: what is trained, in words for the output.
    """

    folder: str
    stage: str = "head"

    def save(self, course: TrainingState) -> None:
        """Writes a checkpoint and keeps the last two.

        A disk that is full costs the checkpoint, not the training.
        """
        within = f"-step-{course.step:06d}" if course.step else ""
        path = os.path.join(self.folder, f"epoch-{course.epoch:06d}{within}.ckpt")
        scratch = f"{path}.tmp-{os.getpid()}"
        try:
            tf.io.gfile.makedirs(self.folder)
            with tf.io.gfile.GFile(scratch, "wb") as file:
                file.write(seal(course.to_bytes()))
            tf.io.gfile.rename(scratch, path, overwrite=True)
            for old in self._paths()[:-KEPT]:
                tf.io.gfile.remove(old)
        except (tf.errors.OpError, OSError) as error:
            log.warning("checkpoint %s could not be written, training goes on without it: %s", path, error)

    def load(self) -> TrainingState | None:
        """The newest checkpoint that is sound; damaged ones are set aside and named."""
        if not tf.io.gfile.isdir(self.folder):
            return None
        for path in tf.io.gfile.glob(os.path.join(self.folder, "*.tmp-*")):
            tf.io.gfile.remove(path)
        for path in reversed(self._paths()):
            try:
                with tf.io.gfile.GFile(path, "rb") as file:
                    return TrainingState.from_bytes(unseal(file.read()))
            except DAMAGE as error:
                self._set_aside(path, error)
        return None

    def _set_aside(self, path: str, error: Exception) -> None:
        aside = f"{path}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}"
        tf.io.gfile.rename(path, aside, overwrite=True)
        progress.info("%s: checkpoint %s is damaged, going back one", self.stage, os.path.basename(path))
        log.warning("checkpoint %s is damaged (%s): kept as %s, the one before is used", path, error, aside)

    def _paths(self) -> list[str]:
        """Oldest first."""
        found = (FILE_NAME.fullmatch(name) for name in tf.io.gfile.listdir(self.folder))
        names = sorted((int(match[1]), int(match[2] or 0), match[0]) for match in found if match)
        return [os.path.join(self.folder, name) for _, _, name in names]


def digest_training(values: np.ndarray, labels: np.ndarray, held: np.ndarray, *facts: str) -> str:
    """sha256 of all that decides where a training goes: features, labels, who is held out, options."""
    digest = hashlib.sha256(json.dumps([list(values.shape), *facts, tf.__version__, np.__version__]).encode())
    for array in (values, labels, held):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def checkpoints_of(folder: str, digest: str, stage: str = "head") -> Checkpoints:
    """The checkpoints of the training with this digest: another one finds nothing and starts from scratch."""
    return Checkpoints(os.path.join(folder, digest[:32]), stage)


def remove_checkpoints(folder: str) -> None:
    """Removes the checkpoints of all trainings: for the end of a run, when the model is written."""
    if tf.io.gfile.isdir(folder):
        tf.io.gfile.rmtree(folder)
