"""Several workers at one training (`TF_CONFIG`): what all of them must know alike."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.trainer.devices.tf_config import is_chief, read_cluster


def add_up(strategy: tf.distribute.Strategy, numbers: np.ndarray) -> np.ndarray:
    """Sum over the workers, the same on all of them.

    Args:
        strategy: the replicas; a worker counts once, however many it has.
        numbers: int64 [k], with the same k everywhere.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return numbers
    local = strategy.num_replicas_in_sync // read_cluster().workers

    def give(mine: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return mine * tf.cast(tf.equal(replica % local, 0), tf.int64)

    @tf.function(autograph=False)
    def total(mine: tf.Tensor) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(give, (mine,)), axis=None)

    return total(tf.constant(numbers, tf.int64)).numpy()


def broadcast(strategy: tf.distribute.Strategy, content: bytes) -> bytes:
    """The chief's bytes, on every worker; what the others hand in is ignored."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return content
    length = int(add_up(strategy, np.array([len(content) if is_chief() else 0]))[0])
    words = np.zeros(-(-length // 8), np.int64)
    if is_chief():
        words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
    return add_up(strategy, words).tobytes()[:length] if length else b""


def same_everywhere(strategy: tf.distribute.Strategy, digest: str) -> None:
    """Refuses workers that would train on different things.

    Args:
        strategy: the replicas.
        digest: of features, labels and options.

    Raises:
        InputError: on every worker, when one of them has another digest than the chief.
    """
    differs = broadcast(strategy, digest.encode()) != digest.encode()
    count = int(add_up(strategy, np.array([int(differs)]))[0])
    if count:
        raise InputError(
            f"All workers must train on the same features, labels and options; {count} of "
            f"{read_cluster().workers} have others than the chief.\n"
            "Give all of them the same configuration, examples and weights, on a file system that all can read."
        )
