"""The worker pool of a `graft run`: the chief does everything, the others wait until there is something to train.

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

from components.trainer.devices.strategy import broadcast, make_strategy

log = logging.getLogger("graft.run")

FOLDERS = ("transform_output", "serving_model_dir", "model_run_dir")
SENT = (*FOLDERS, "train_files", "eval_files", "custom_config", "hyperparameters")  # of FnArgs: what `run_fn` reads
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


@dataclass
class WorkerPool:
    """The other workers, as the chief of a `graft run` sees them.

    Attributes:
        strategy: that joins them.
        busy: whether they are in a training that was not ended: they cannot hear another order then.
    """

    strategy: tf.distribute.Strategy
    busy: bool = False

    def order(self, message: dict[str, Any]) -> None:
        """Tells all workers something that `follow_chief` understands."""
        broadcast(self.strategy, json.dumps(message).encode())


_pool: WorkerPool | None = None


def join_workers(devices: str) -> None:
    """Waits, in the chief before it uses TensorFlow, for all workers to join.

    Args:
        devices: as `make_strategy` takes them.
    """
    global _pool
    _pool = WorkerPool(make_strategy(devices))


def release_workers(code: int) -> None:
    """Tells the workers to end with the chief's exit code; those in a broken training end by an error of their own."""
    global _pool
    pool, _pool = _pool, None
    if pool and not pool.busy:
        pool.order({"code": code})


def follow_chief(devices: str, train: Callable[[FnArgs], None], tell: Callable[[str], None]) -> int:
    """Takes part, in a worker that is not the chief, in each training that the chief orders.

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
        message = json.loads(_explain_lost_workers(broadcast)(strategy, b""))
        if "code" in message:
            return int(message["code"])
        tell("training")
        train(FnArgs(**message))
        tell("trained; waiting for the end of the run")


def with_workers(run_fn: Callable[[FnArgs], None]) -> Callable[[FnArgs], None]:
    """Wraps a `run_fn` so that the workers of a `graft run` take part in it; an error says where one of them is lost.

    Nothing is sent elsewhere, as on a cluster where each worker is started with its own `run_fn`.
    """

    @functools.wraps(run_fn)
    def together(fn_args: FnArgs) -> None:
        if _pool:
            _pool.order({name: getattr(fn_args, name) for name in SENT})
            _pool.busy = True
        _explain_lost_workers(run_fn)(fn_args)
        if _pool:
            _pool.busy = False

    return together


def _explain_lost_workers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a function so that TensorFlow's errors about lost workers are in the user's words."""

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
