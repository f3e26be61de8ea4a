"""Several workers at one training (`TF_CONFIG`): who is the chief, and what all of them must know alike."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from components.errors import InputError

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """This process among those that train together.

    Attributes:
        workers: how many processes there are, the chief among them.
        kind: `chief` or `worker`.
        index: of this process among its kind.
    """

    workers: int = 1
    kind: str = "chief"
    index: int = 0


def read_cluster() -> Cluster:
    """What `TF_CONFIG` says; without it, a cluster of one.

    Raises:
        InputError: it is no JSON, names no workers, or a task that is not among them.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return Cluster()
    try:
        said = json.loads(text)
    except ValueError as error:
        raise _malformed(f"no JSON ({error})") from None
    if not isinstance(said, dict) or not said.get("cluster"):
        if isinstance(said, dict) and not said.get("task"):
            return Cluster()
        raise _malformed(f"no 'cluster' in {text[:200]}")
    return _check_task(*_check_cluster(said["cluster"]), said.get("task"))


def _check_cluster(cluster: Any) -> tuple[list[str], list[str]]:
    if not isinstance(cluster, dict) or not set(cluster) <= {"chief", "worker"}:
        raise _malformed(f"the cluster {json.dumps(cluster)[:200]}; only 'chief' and 'worker' train here")
    for kind, hosts in cluster.items():
        sound = isinstance(hosts, list) and hosts and all(isinstance(host, str) and ":" in host for host in hosts)
        if not sound:
            raise _malformed(f"{json.dumps(hosts)[:200]} as the addresses of '{kind}'")
    chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
    if len(chiefs) > 1:
        raise _malformed(f"{len(chiefs)} chiefs, where one is enough")
    return chiefs, workers


def _check_task(chiefs: list[str], workers: list[str], task: Any) -> Cluster:
    sizes = {"chief": len(chiefs), "worker": len(workers)}
    kind, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    if isinstance(index, str) and index.isdigit():  # some operators write it so
        index = int(index)
    if kind not in sizes or type(index) is not int or not 0 <= index < sizes[kind]:
        raise _malformed(
            f"the task {json.dumps(task)}, which is none of {len(chiefs)} chiefs and {len(workers)} workers"
        )
    return Cluster(
        len(chiefs) + len(workers), "chief" if kind == "worker" and not chiefs and index == 0 else kind, index
    )


def _malformed(found: str) -> InputError:
    return InputError(
        f"The environment variable TF_CONFIG: expected {EXAMPLE}, with every worker's address and this one's place.\n"
        f"Found {found}.\nMend it in what starts the workers, or unset it to train in one process."
    )


def is_chief() -> bool:
    """Whether this process writes: the chief, or worker 0 where none is named; always without `TF_CONFIG`."""
    return read_cluster().kind == "chief"


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


def share_bytes(strategy: tf.distribute.Strategy, content: bytes) -> bytes:
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
    differs = share_bytes(strategy, digest.encode()) != digest.encode()
    count = int(add_up(strategy, np.array([int(differs)]))[0])
    if count:
        raise InputError(
            f"All workers must train on the same features, labels and options; {count} of "
            f"{read_cluster().workers} have others than the chief.\n"
            "Give all of them the same configuration, examples and weights, on a file system that all can read."
        )
