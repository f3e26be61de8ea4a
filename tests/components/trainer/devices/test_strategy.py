"""`trainer.devices` to replicas."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.devices.strategy import (
    describe_devices,
    feature_batch_size,
    global_batch_size,
    make_strategy,
    prepare_process,
)

without_gpu = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU")


@pytest.mark.parametrize(("devices", "replicas"), [("cpu", 1), ("cpu:1", 1), ("cpu:2", 2)])
def test_one_replica_a_device(devices, replicas):
    strategy = make_strategy(devices)
    assert strategy.num_replicas_in_sync == replicas
    places = strategy.run(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group * tf.constant(1))
    assert [int(place) for place in strategy.experimental_local_results(places)] == list(range(replicas))


@without_gpu
def test_auto_is_one_cpu_replica_where_there_is_no_gpu():
    assert make_strategy("auto").num_replicas_in_sync == 1


@without_gpu
@pytest.mark.parametrize("devices", ["gpu", "gpu:0", "gpu:1,2"])
def test_a_gpu_that_is_not_there_is_refused_with_the_way_out(devices):
    for call in (make_strategy, prepare_process):  # the latter before there is any work
        with pytest.raises(InputError, match=f"'{devices}' asks for a GPU; TensorFlow sees none on this") as caught:
            call(devices)
        assert "Use 'auto' or 'cpu', or install" in str(caught.value)


def test_a_gpu_index_beyond_the_last_is_refused(monkeypatch):
    listed = tf.config.list_physical_devices
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{index}", "GPU") for index in range(2)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus if kind == "GPU" else listed(kind))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, wanted: None)
    with pytest.raises(InputError, match="'gpu:0,5' asks for GPU 5; this machine has 2, numbered from 0"):
        make_strategy("gpu:0,5")


def test_more_replicas_than_the_process_was_split_into_come_too_late():
    tf.constant(np.float32(0)) + 1  # TensorFlow is in use
    for call in (make_strategy, prepare_process):
        with pytest.raises(InputError, match="already fixed its CPU devices, 'cpu:9' comes too late") as caught:
            call("cpu:9")
        assert "graft run does so for trainer.devices" in str(caught.value)


@pytest.mark.parametrize("devices", ["auto", "cpu"])
def test_nothing_is_prepared_where_the_cpu_is_not_to_be_split(devices):
    before = tf.config.list_logical_devices()
    prepare_process(devices)
    assert tf.config.list_logical_devices() == before


def test_a_fresh_process_is_split_as_asked(strategies):
    """That of the tests was fresh when it was asked for four."""
    assert len(tf.config.list_logical_devices("CPU")) == 4
    assert [strategies[devices].num_replicas_in_sync for devices in ("cpu:4", "cpu:2")] == [4, 2]


@pytest.mark.parametrize(
    ("devices", "batch", "expected"), [("cpu", 7, 7), ("cpu:2", 7, 8), ("cpu:2", 8, 8), ("cpu:2", 1, 2)]
)
def test_every_replica_gets_the_same_share_of_a_batch(strategies, devices, batch, expected):
    assert global_batch_size(strategies[devices], batch) == expected


@pytest.mark.parametrize(
    ("devices", "batch", "line"),
    [
        ("cpu", 32, "1 replica, batch 32"),
        ("cpu:2", 32, "2 replicas, batch 32 (16 a replica)"),
        ("cpu:4", 30, "4 replicas, batch 30 (at most 8 a replica)"),
    ],
)
def test_the_closing_line_has_the_global_batch_and_a_replica_s_share(strategies, devices, batch, line):
    assert describe_devices(strategies[devices], batch) == line


def test_gpus_take_memory_as_they_need_it_from_the_start(monkeypatch):
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{index}", "GPU") for index in range(2)]
    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, wanted: grown.append((gpu, wanted)))
    prepare_process("auto")
    assert grown == [(gpus[0], True), (gpus[1], True)]

    def too_late(gpu, wanted):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", too_late)
    prepare_process("gpu")


TWO_WORKERS = '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}'


def test_several_workers_have_one_cpu_replica_each(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", TWO_WORKERS)
    prepare_process("cpu:9")  # nothing is split: the strategy could not use it
    with pytest.raises(InputError, match="'cpu:2' with the workers of TF_CONFIG: a worker has one CPU") as caught:
        make_strategy("cpu:2")
    assert "Use 'cpu', and start more workers" in str(caught.value)


def test_workers_cannot_be_joined_after_tensorflow_was_used(monkeypatch):
    tf.constant(np.float32(0)) + 1
    monkeypatch.setenv("TF_CONFIG", TWO_WORKERS)
    with pytest.raises(InputError, match="with the workers of TF_CONFIG comes too late") as caught:
        make_strategy("cpu")
    assert "Give the Trainer a process of its own on each worker" in str(caught.value)


def test_a_malformed_tf_config_is_refused_before_a_strategy_is_made(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(InputError, match="TF_CONFIG: expected"):
        make_strategy("cpu")


@pytest.mark.parametrize("devices", ["cpu", "cpu:2"])
def test_the_feature_pass_takes_small_batches_on_cpus(strategies, devices):
    assert feature_batch_size(strategies[devices]) == 16


def test_the_feature_pass_takes_large_batches_on_gpus():
    workers = ("/job:localhost/replica:0/task:0/device:GPU:0", "/job:localhost/replica:0/task:0/device:GPU:1")
    strategy = SimpleNamespace(num_replicas_in_sync=2, extended=SimpleNamespace(worker_devices=workers))
    assert feature_batch_size(strategy) == 128
