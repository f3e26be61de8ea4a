"""`trainer.devices` to a `tf.distribute` strategy."""

from __future__ import annotations

import tensorflow as tf

from components.errors import InputError
from components.trainer.devices.tf_config import read_cluster

_joined: tf.distribute.MultiWorkerMirroredStrategy | None = None


def make_strategy(devices: str) -> tf.distribute.Strategy:
    """One replica a device; on every worker, where `TF_CONFIG` names several.

    With several workers this must be the first thing that the process asks of TensorFlow, and it waits for the others.

    Args:
        devices: `auto` (all GPUs, else one CPU replica), `cpu`, `cpu:N` (N logical CPU devices), `gpu`, `gpu:0,1`.

    Raises:
        InputError: a GPU is asked for that this machine does not have, the CPU was split differently before, or
            `TF_CONFIG` is malformed.
    """
    several = read_cluster().workers > 1
    gpus = _grow_memory()
    if devices == "auto":
        devices = "gpu" if gpus else "cpu"
    kind, _, which = devices.partition(":")
    if kind == "cpu":
        return _join_workers(devices, []) if several else tf.distribute.MirroredStrategy(_cpu_devices(int(which or 1)))
    indices = _wanted_gpus(devices, len(gpus))
    if several:
        return _join_workers(devices, [gpus[index] for index in indices])
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in indices])


def global_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> int:
    """The batch size, rounded up so that every replica gets the same share."""
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def feature_batch_size(strategy: tf.distribute.Strategy) -> int:
    """The batch of the pass through the backbone, global, where the options name none.

    A GPU is only busy with a large one. A CPU is 6 % faster with 32 than with 16, for 110 MB more (docs/benchmarks.md).
    """
    on_gpus = any("GPU" in device.upper() for device in strategy.extended.worker_devices)
    return 64 * strategy.num_replicas_in_sync if on_gpus else 16


def describe_devices(strategy: tf.distribute.Strategy, batch_size: int) -> str:
    """For the closing line: replicas, workers, and the global batch with the share of a replica."""
    replicas, workers = strategy.num_replicas_in_sync, read_cluster().workers
    if replicas == 1:
        return f"1 replica, batch {batch_size}"
    where = f" on {workers} workers" if workers > 1 else ""
    even = "" if batch_size % replicas == 0 else "at most "
    return f"{replicas} replicas{where}, batch {batch_size} ({even}{-(-batch_size // replicas)} a replica)"


def prepare_process(devices: str) -> None:
    """Splits the CPU for `cpu:N` and lets GPU memory grow: neither can be done once TensorFlow was used.

    Raises:
        InputError: a GPU is asked for that this machine does not have, so that it is said before there is any work.
    """
    gpus = _grow_memory()
    kind, _, which = devices.partition(":")
    if kind == "gpu":
        _wanted_gpus(devices, len(gpus))
    if kind == "cpu" and which and read_cluster().workers == 1:
        _cpu_devices(int(which))


def _wanted_gpus(devices: str, found: int) -> list[int]:
    """The numbers of the GPUs that `gpu` or `gpu:0,1` asks for, where there are so many.

    Raises:
        InputError: this machine has fewer.
    """
    if not found:
        raise InputError(
            f"trainer.devices: '{devices}' asks for a GPU; TensorFlow sees none on this machine.\n"
            "Use 'auto' or 'cpu', or install TensorFlow's CUDA libraries: pip install 'tensorflow[and-cuda]'."
        )
    which = devices.partition(":")[2]
    indices = [int(index) for index in which.split(",")] if which else list(range(found))
    if max(indices) >= found:
        raise InputError(
            f"trainer.devices: '{devices}' asks for GPU {max(indices)}; this machine has {found}, numbered from 0."
        )
    return indices


def repeat_exactly() -> None:
    """Makes TensorFlow take ops that give the same bits each time, for the rest of the process.

    An op that has no such form (on GPUs, the gradient of a depthwise convolution) then raises
    `tf.errors.UnimplementedError`, and random ops need a seed. The head's training on a CPU repeats without it too, and
    takes no longer with it.
    """
    tf.config.experimental.enable_op_determinism()


def _join_workers(devices: str, gpus: list[tf.config.PhysicalDevice]) -> tf.distribute.MultiWorkerMirroredStrategy:
    """The strategy takes all GPUs that it sees, so it is shown those that are wanted."""
    if devices.startswith("cpu:") and devices != "cpu:1":
        raise InputError(
            f"trainer.devices: '{devices}' with the workers of TF_CONFIG: a worker has one CPU replica, or its GPUs.\n"
            "Use 'cpu', and start more workers."
        )
    global _joined
    if _joined:  # workers can only meet once in a process
        return _joined
    communication = tf.distribute.experimental.CommunicationImplementation
    try:
        if gpus != tf.config.get_visible_devices("GPU"):
            tf.config.set_visible_devices(gpus, "GPU")
        _joined = tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=tf.distribute.experimental.CommunicationOptions(
                implementation=communication.AUTO if gpus else communication.RING
            )
        )
        return _joined
    except RuntimeError as error:
        raise InputError(
            f"trainer.devices: '{devices}' with the workers of TF_CONFIG comes too late: {error}\n"
            "Give the Trainer a process of its own on each worker, as Kubeflow does, or unset TF_CONFIG."
        ) from error


def _grow_memory() -> list[tf.config.PhysicalDevice]:
    """The GPUs, each of which takes memory as it needs it."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the process used the GPU before: its setting stands
            continue
    return gpus


def _cpu_devices(count: int) -> list[str]:
    physical = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(physical) or [None]) < count:
        try:
            tf.config.set_logical_device_configuration(physical, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise InputError(
                f"trainer.devices: this process has already fixed its CPU devices, 'cpu:{count}' comes too late.\n"
                "Split the CPU before TensorFlow is first used: graft run does so for trainer.devices."
            ) from error
    return [f"/cpu:{index}" for index in range(count)]
