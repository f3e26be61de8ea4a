"""`trainer.devices` to replicas."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.trainer.devices import global_batch_size, make_strategy, prepare_process

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
    with pytest.raises(InputError, match=f"'{devices}' asks for a GPU; TensorFlow sees none on this machine") as caught:
        make_strategy(devices)
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
        with pytest.raises(InputError, match="already fixed its CPU devices, 'cpu:3' comes too late") as caught:
            call("cpu:3")
        assert "graft run does so for trainer.devices" in str(caught.value)


@pytest.mark.parametrize("devices", ["auto", "cpu", "gpu", "gpu:0,1"])
def test_nothing_is_prepared_where_the_cpu_is_not_to_be_split(devices):
    before = tf.config.list_logical_devices()
    prepare_process(devices)
    assert tf.config.list_logical_devices() == before


def test_a_fresh_process_is_split_as_asked():
    program = (
        "from components.trainer.devices import make_strategy, prepare_process\n"
        "prepare_process('cpu:3')\n"
        "print(make_strategy('cpu:3').num_replicas_in_sync, make_strategy('cpu:2').num_replicas_in_sync)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["3", "2"]


@pytest.mark.parametrize(
    ("devices", "batch", "expected"), [("cpu", 7, 7), ("cpu:2", 7, 8), ("cpu:2", 8, 8), ("cpu:2", 1, 2)]
)
def test_every_replica_gets_the_same_share_of_a_batch(strategies, devices, batch, expected):
    assert global_batch_size(strategies[devices], batch) == expected
