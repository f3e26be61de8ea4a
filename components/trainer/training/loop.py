"""The learning curve for TensorBoard, in the folders and under the names that Keras gives it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer.training.step import unpack


class TensorBoardWriter:
    """Writes what an epoch came to; `train` and `validation` below the folder lie over one another in TensorBoard."""

    def __init__(self, folder: str, scalars: bool, histograms: bool) -> None:
        """Makes no file before there is something to write."""
        self._folder, self._scalars, self._histograms = folder, scalars, histograms
        self._writers: dict[str, Any] = {}

    def write_epoch(self, epoch: int, logs: dict[str, float], extras: dict[str, float]) -> None:
        """Scalars of an epoch.

        Args:
            epoch: counted from 0.
            logs: `loss`, `accuracy`, and `val_*`, which go to `validation` as `epoch_*`.
            extras: further ones, such as `learning_rate` and `examples_per_second`.
        """
        if not self._scalars:
            return
        curves: dict[str, dict[str, float]] = {"train": dict(extras)}
        for name, value in logs.items():
            place, name = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
            curves.setdefault(place, {})[f"epoch_{name}"] = value
        for place, values in curves.items():
            with self._writer(place).as_default(step=epoch):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer(place).flush()

    def write_weights(self, epoch: int, params: np.ndarray, widths: tuple[int, ...]) -> None:
        """Histograms of each layer's kernel and bias."""
        if not self._histograms:
            return
        with self._writer("train").as_default(step=epoch):
            for number, (kernel, bias) in enumerate(unpack(params, widths)):
                tf.summary.histogram(f"head/{number}/kernel", kernel)
                tf.summary.histogram(f"head/{number}/bias", bias)

    def close(self) -> None:
        """Ends the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, place: str) -> Any:
        if place not in self._writers:
            self._writers[place] = tf.summary.create_file_writer(os.path.join(self._folder, place))
        return self._writers[place]
