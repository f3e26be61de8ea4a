"""`graft run` on several workers: the chief does everything, the others wait until there is something to train.

All of them join before TensorFlow is first used, as it demands. Orders go the way that sums of gradients go: no file or
port beside those of `TF_CONFIG`, and a worker that waits notices when the chief is gone.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer.devices.strategy import make_strategy
from components.trainer.devices.workers import broadcast

log = logging.getLogger("graft.run")

FOLDERS = ("transform_output", "serving_model_dir", "model_run_dir")
SENT = (*FOLDERS, "train_files", "eval_files", "custom_config", "hyperparameters")  # of FnArgs: what `run_fn` reads
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


@dataclass
class Crew:
    """The other workers, as the chief of a `graft run` sees them.

    Attributes:
        strategy: that joins them.
        busy: whether they are at a training that was not ended: they cannot hear another order then.
    """

    strategy: tf.distribute.Strategy
    busy: bool = False

    def order(self, message: dict[str, Any]) -> None:
        """Tells all workers something that `serve` understands."""
        broadcast(self.strategy, json.dumps(message).encode())


_crew: Crew | None = None


def gather(devices: str) -> None:
    """For the chief, before it uses TensorFlow: waits for all workers and joins them.

    Args:
        devices: as `make_strategy` takes them.
    """
    global _crew
    _crew = Crew(make_strategy(devices))


def dismiss(code: int) -> None:
    """For the chief, at its end: the workers end with the same exit code; those that are at a training by an error."""
    global _crew
    crew, _crew = _crew, None
    if crew and not crew.busy:
        crew.order({"code": code})


def serve(devices: str, train: Callable[[FnArgs], None], tell: Callable[[str], None]) -> int:
    """For the other workers: takes part in each training that the chief orders.

    Args:
        devices: as `make_strategy` takes them.
        train: a `run_fn`.
        tell: takes what the user should know.

    Returns:
        The chief's exit code.

    Raises:
        RuntimeError: the chief, or another worker, is gone.
    """
    strategy = make_strategy(devices)
    tell("joined; waiting for the chief's Trainer")
    while True:
        message = json.loads(_heard(broadcast)(strategy, b""))
        if "code" in message:
            return int(message["code"])
        tell("training")
        train(FnArgs(**message))
        tell("trained; waiting for the end of the run")


def with_crew(run_fn: Callable[[FnArgs], None]) -> Callable[[FnArgs], None]:
    """A `run_fn` that the workers of a `graft run` take part in, and that says so where one of them is lost.

    Elsewhere, as on a cluster where each worker is started with its own `run_fn`, it is the function itself.
    """

    @functools.wraps(run_fn)
    def together(fn_args: FnArgs) -> None:
        if _crew:
            _crew.order({name: getattr(fn_args, name) for name in SENT})
            _crew.busy = True
        _heard(run_fn)(fn_args)
        if _crew:
            _crew.busy = False

    return together


def _heard(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with TensorFlow's errors about lost workers in the user's words."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except GONE as error:
            log.exception("a worker is lost")
            raise RuntimeError(
                "A worker of TF_CONFIG is gone before the training was over; what it wrote says why. Start the same "
                "command on all workers again: the training goes on from its last checkpoint."
            ) from error

    return call
