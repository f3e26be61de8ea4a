"""`trainer.devices` to a `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import tensorflow as tf

from components.errors import InputError


def make_strategy(devices: str) -> tf.distribute.MirroredStrategy:
    """One replica a device.

    Args:
        devices: `auto` (all GPUs, else one CPU replica), `cpu`, `cpu:N` (N logical CPU devices), `gpu`, `gpu:0,1`.

    Raises:
        InputError: a GPU is asked for that this machine does not have, or the CPU was split differently before.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        _grow_memory(gpu)
    if devices == "auto":
        devices = "gpu" if gpus else "cpu"
    kind, _, which = devices.partition(":")
    if kind == "cpu":
        return tf.distribute.MirroredStrategy(_cpu_devices(int(which or 1)))
    if not gpus:
        raise InputError(
            f"trainer.devices: '{devices}' asks for a GPU; TensorFlow sees none on this machine.\n"
            "Use 'auto' or 'cpu', or install TensorFlow's CUDA libraries: pip install 'tensorflow[and-cuda]'."
        )
    indices = [int(index) for index in which.split(",")] if which else list(range(len(gpus)))
    if max(indices) >= len(gpus):
        raise InputError(
            f"trainer.devices: '{devices}' asks for GPU {max(indices)}; this machine has {len(gpus)}, numbered from 0."
        )
    return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in indices])


def global_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> int:
    """The batch size, rounded up so that every replica gets the same share."""
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def _grow_memory(gpu: tf.config.PhysicalDevice) -> None:
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # the process used the GPU before: its setting stands
        return


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


def prepare_process(devices: str) -> None:
    """Splits the CPU for `cpu:N`, where TensorFlow has not been used yet: it cannot be done later."""
    kind, _, which = devices.partition(":")
    if kind == "cpu" and which:
        _cpu_devices(int(which))
