"""Waiting requests are joined, bounded, and fail alone."""

import time

import numpy as np
import pytest

from pipeline.serve.batcher import Batcher, PendingRequest
from pipeline.serve.rest import ServingError
from tests.pipeline.serve.fakes import FakeVersion


@pytest.fixture
def version():
    return FakeVersion()


@pytest.fixture
def batcher():
    made = Batcher(4, 10)
    yield made
    made.close()


def job(version, *rows):
    return PendingRequest(version, "serving_default", {"x": np.array(rows, np.float32)})


def answers(parts):
    return [value for part in parts for value in part.answer.result(120)["y"].tolist()]


def hold(batcher, version):
    """The model is busy with a first request, so that what comes now waits."""
    version.gate.clear()
    first = batcher.submit(job(version, 0))
    while batcher.waiting:
        time.sleep(0.001)
    return first


def test_what_waits_is_answered_together_and_in_its_order(batcher, version):
    first = hold(batcher, version)
    waiting = [batcher.submit(job(version, *rows)) for rows in ((1, 2), (3,), (4, 5), (6,))]
    version.gate.set()
    assert [answers(parts) for parts in (first, *waiting)] == [[0], [1, 2], [3], [4, 5], [6]]
    assert version.batches == [1, 4, 2]  # 4 and 5 did not fit any more, 6 did


def test_a_request_of_many_rows_is_cut(batcher, version):
    assert answers(batcher.submit(job(version, *range(11)))) == list(range(11))
    assert version.batches == [4, 4, 3]


def test_versions_are_not_mixed(batcher, version):
    other = FakeVersion(2)
    hold(batcher, version)
    parts = [batcher.submit(job(which, 1)) for which in (version, other, version, other)]
    version.gate.set()
    found = [part[0].answer.result(30)["version"].tolist() for part in parts]
    assert found == [[1], [2], [1], [2]]
    assert (version.batches, other.batches) == ([1, 2], [2])


def test_a_bad_request_takes_no_other_down(batcher, version):
    hold(batcher, version)
    good, bad, after = (batcher.submit(job(version, row)) for row in (1, -1, 2))
    version.gate.set()
    assert (answers(good), answers(after)) == ([1], [2])
    with pytest.raises(ServingError, match="ValueError: a row of -1") as caught:
        answers(bad)
    assert caught.value.status == 500


def test_more_than_may_wait_is_refused_and_the_rest_is_answered(batcher, version):
    hold(batcher, version)
    waiting = [batcher.submit(job(version, row)) for row in range(10)]
    with pytest.raises(ServingError, match="queue to which this task was submitted is full") as caught:
        batcher.submit(job(version, 99))
    assert caught.value.status == 503
    version.gate.set()
    assert [answers(parts) for parts in waiting] == [[row] for row in range(10)]


def test_closing_answers_what_waits_and_takes_no_more(version):
    batcher = Batcher(4, 100)
    waiting = [batcher.submit(job(version, row)) for row in range(20)]
    batcher.close()
    assert [answers(parts) for parts in waiting] == [[row] for row in range(20)]
    with pytest.raises(ServingError, match="shutting down"):
        batcher.submit(job(version, 1))


def test_a_request_of_many_rows_holds_up_no_other(batcher, version):
    hold(batcher, version)
    many = batcher.submit(job(version, *range(100, 140)))
    others = [batcher.submit(job(version, *[row] * 3)) for row in (1, 2)]  # the queue is not full for them
    order = []
    for place, part in enumerate((*many, others[0][0], others[1][0])):
        part.answer.add_done_callback(lambda _, place=place: order.append(place))
    version.gate.set()
    assert answers(many) == list(range(100, 140))
    assert [answers(parts) for parts in others] == [[1] * 3, [2] * 3]
    assert order[:3] == [0, 10, 11]
