"""`trainer.devices` to a `tf.distribute` strategy, and what its workers tell one another through it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.errors import InputError
from components.trainer.devices.tf_config import is_chief, read_cluster

_joined: tf.distribute.MultiWorkerMirroredStrategy | None = None


def make_strategy(devices: str) -> tf.distribute.Strategy:
    """Makes the strategy of one replica a device, on every worker where `TF_CONFIG` names several.

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
    """Rounds the batch size up so that every replica gets the same share."""
    replicas = strategy.num_replicas_in_sync
    return -(-batch_size // replicas) * replicas


def feature_batch_size(strategy: tf.distribute.Strategy) -> int:
    """Gives the global batch of the pass through the backbone, in images, where the options name none.

    A GPU is only busy with a large one. A CPU is 6 % faster with 32 than with 16, for 110 MB more (docs/benchmarks.md).
    """
    on_gpus = any("GPU" in device.upper() for device in strategy.extended.worker_devices)
    return 64 * strategy.num_replicas_in_sync if on_gpus else 16


def describe_devices(strategy: tf.distribute.Strategy, batch_size: int) -> str:
    """Describes replicas, workers, and the global batch with the share of a replica, for the closing line."""
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


def add_up(strategy: tf.distribute.Strategy, numbers: np.ndarray) -> np.ndarray:
    """Adds numbers up over the workers, for all of them.

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
    """Gives every worker the chief's bytes; what the others hand in is ignored."""
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
