"""`TF_CONFIG`: which workers train together, read and checked without TensorFlow."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

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
    """Reads `TF_CONFIG`; without it, a cluster of one.

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
    """Tells whether this process writes: the chief, or worker 0 where none is named; always without `TF_CONFIG`."""
    return read_cluster().kind == "chief"
