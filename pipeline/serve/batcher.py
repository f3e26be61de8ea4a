"""Joins waiting requests into batches: one thread runs the model, on all that came while it ran before."""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from components.errors import first_line
from pipeline.serve.loading import LoadedVersion
from pipeline.serve.rest import ServingError, invalid

log = logging.getLogger("graft.serve")


@dataclass(eq=False)
class PendingRequest:
    """Some rows for one signature of one version; the version stays loaded as long as a job has it.

    Attributes:
        inputs: by name; the first dimension is that of the rows.
        answer: outputs by name, or why there are none.
        rest: parts of the same request that come after this one.
    """

    version: LoadedVersion
    signature: str
    inputs: dict[str, np.ndarray]
    answer: Future[dict[str, np.ndarray]] = field(default_factory=Future)
    rest: list[PendingRequest] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.inputs.values())))

    def split(self, size: int) -> list[PendingRequest]:
        """Splits the request into jobs of at most `size` rows each."""
        if self.rows <= size:
            return [self]
        return [
            PendingRequest(self.version, self.signature, {n: a[start : start + size] for n, a in self.inputs.items()})
            for start in range(0, self.rows, size)
        ]


class Batcher:
    """A queue of limited length, and the thread behind it."""

    def __init__(self, max_batch: int, max_waiting: int) -> None:
        """Starts the thread.

        Args:
            max_batch: rows that the model sees at once.
            max_waiting: rows that may wait; more are refused. A single request may always have as many, and of its
                parts only the one whose turn is next counts.
        """
        self.max_batch = max_batch
        self._max_waiting = max_waiting
        self._jobs: deque[PendingRequest] = deque()
        self._rows = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="graft-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._rows

    def submit(self, job: PendingRequest) -> list[PendingRequest]:
        """Puts a job into the queue, in parts that fit a batch; gives the parts, in order.

        A part waits behind what others asked for while the part before it ran: no request holds up all others.

        Raises:
            ServingError: 503, the queue is full or closed.
        """
        parts = job.split(self.max_batch)
        with self._changed:
            if self._closed:
                raise ServingError(503, "The server is shutting down")
            if self._rows and self._rows + job.rows > self._max_waiting:
                raise ServingError(503, "The batch scheduling queue to which this task was submitted is full")
            parts[0].rest = parts[1:]
            self._queue(parts[0])
            self._changed.notify()
        return parts

    def close(self) -> None:
        """Runs what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            run_batch(batch)
            batch.clear()  # or the last batch would keep its version loaded

    def _take(self) -> list[PendingRequest]:
        """Takes the next jobs of one version and signature, as many as fit a batch; none when closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            batch: list[PendingRequest] = []
            rows = 0
            for job in list(self._jobs):
                first = batch[0] if batch else job
                alike = job.version is first.version and job.signature == first.signature
                if alike and rows + job.rows <= self.max_batch:
                    batch.append(job)
                    rows += job.rows
                    self._jobs.remove(job)
                    self._queue_next(job)
                if rows == self.max_batch:
                    break
            self._rows -= rows
            return batch

    def _queue_next(self, job: PendingRequest) -> None:
        if job.rest:
            following, *after = job.rest
            following.rest, job.rest = after, []
            self._queue(following)

    def _queue(self, job: PendingRequest) -> None:
        self._jobs.append(job)
        self._rows += job.rows


def run_batch(jobs: list[PendingRequest]) -> None:
    """Answers some jobs of one version and signature at once; where that fails, each on its own."""
    try:
        outputs = jobs[0].version.run(jobs[0].signature, _join(jobs))
    except Exception as error:  # noqa: BLE001  whatever it is, it must reach the caller and not end the thread
        if len(jobs) == 1:
            jobs[0].answer.set_exception(_explain(error))
        else:
            for job in jobs:
                run_batch([job])
        return
    start = 0
    for job in jobs:
        job.answer.set_result({name: array[start : start + job.rows] for name, array in outputs.items()})
        start += job.rows


def _join(jobs: list[PendingRequest]) -> dict[str, np.ndarray]:
    if len(jobs) == 1:
        return jobs[0].inputs
    return {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}


def _explain(error: Exception) -> ServingError:
    import tensorflow as tf

    if isinstance(error, tf.errors.InvalidArgumentError):
        return invalid(_reason(error))
    log.error("The model failed", exc_info=error)
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return ServingError(503, first_line(error))
    return ServingError(500, f"{type(error).__name__}: {first_line(error)}")


def _reason(error: Exception) -> str:
    """Finds the line of TensorFlow's text that says why: the line before the first name of a node."""
    lines = str(error).splitlines()
    places = [index for index, line in enumerate(lines) if "[[{{node" in line]
    return lines[places[0] - 1].strip() if places and places[0] else first_line(error)
