"""What the chief of a `graft run` tells its workers, and what either says when the other is gone."""

import json
import logging

import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer.devices import worker_pool


@pytest.fixture
def told(monkeypatch):
    """The messages of the chief; several workers need processes of their own, see tests/e2e/test_workers.py."""
    messages = []
    monkeypatch.setattr(worker_pool, "make_strategy", lambda devices: f"strategy of {devices}")
    monkeypatch.setattr(
        worker_pool, "broadcast", lambda strategy, content: messages.append((strategy, json.loads(content)))
    )
    monkeypatch.setattr(worker_pool, "_pool", None)
    return messages


ARGUMENTS = FnArgs(train_files=["a*"], eval_files=["b*"], transform_output="t", custom_config={"options": "{}"})


def test_the_chief_orders_each_training_and_dismisses_with_its_exit_code(told):
    ran = []
    run_fn = worker_pool.with_workers(ran.append)
    worker_pool.join_workers("cpu")
    run_fn(ARGUMENTS)
    worker_pool.release_workers(3)
    assert ran == [ARGUMENTS]
    assert [strategy for strategy, _ in told] == ["strategy of cpu"] * 2
    assert FnArgs(**told[0][1]) == ARGUMENTS
    assert told[1][1] == {"code": 3}


def test_without_workers_nothing_is_sent(told):
    ran = []
    worker_pool.with_workers(ran.append)(ARGUMENTS)
    worker_pool.release_workers(0)
    assert (ran, told) == ([ARGUMENTS], [])


def test_workers_that_are_in_a_broken_training_are_not_spoken_to(told):
    def broken(fn_args):
        raise ValueError("as it is")

    worker_pool.join_workers("cpu")
    with pytest.raises(ValueError, match="as it is"):
        worker_pool.with_workers(broken)(ARGUMENTS)
    worker_pool.release_workers(1)
    assert len(told) == 1


@pytest.mark.parametrize("error", [tf.errors.UnavailableError, tf.errors.AbortedError])
def test_a_lost_worker_is_said(told, error, caplog):
    def broken(fn_args):
        raise error(None, None, "Socket closed")

    with pytest.raises(RuntimeError, match="A worker of TF_CONFIG is gone before the training was over") as caught:
        worker_pool.with_workers(broken)(ARGUMENTS)
    assert "goes on from its last checkpoint" in str(caught.value)
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_worker_trains_as_often_as_it_is_told_and_ends_with_the_chief(monkeypatch):
    orders = [dict.fromkeys(worker_pool.SENT), dict.fromkeys(worker_pool.SENT, "x"), {"code": 3}]
    monkeypatch.setattr(worker_pool, "make_strategy", lambda devices: "both")
    monkeypatch.setattr(worker_pool, "broadcast", lambda strategy, content: json.dumps(orders.pop(0)).encode())
    ran, said = [], []
    assert worker_pool.follow_chief("cpu", ran.append, said.append) == 3
    assert ran == [FnArgs(), FnArgs(**dict.fromkeys(worker_pool.SENT, "x"))]
    assert said[1:3] == ["training", "trained; waiting for the end of the run"]
