"""What TensorFlow, Keras and NumPy take from their surroundings and that decides a result: decided here, once.

Importing anything of Graft does it first, so that the libraries load with it in every process: commands, pods, Beam
workers, probes. Two machines with one configuration then make one model, whatever their users' files and shells say.

A library's settings are its defaults, as its pinned version has them; whole families of environment variables go, since
each version brings new ones. Variables about logs, memory, threads and the workers of a training decide no result.
"""

from __future__ import annotations

import os
import sys

from components.errors import InputError

BACKEND, FLOAT, EPSILON, DATA_FORMAT = "tensorflow", "float32", 1e-7, "channels_last"
NO_FOLDER = os.devnull  # Keras reads no keras.json there, and writes none
SET = {"KERAS_BACKEND": BACKEND, "KERAS_HOME": NO_FOLDER}

REMOVED = (
    *("AUTOGRAPH_", "DNNL_", "KERASTUNER_", "KERAS_", "NPY_", "NUMPY_", "ONEDNN_", "TF2_", "TF_", "XLA_"),
    *("NVIDIA_TF32_OVERRIDE", "OPENBLAS_CORETYPE"),
)
KEPT = (
    *("TF_CONFIG", "TF_CPP_", "TF_FORCE_", "TF_GPU_ALLOCATOR", "TF_GPU_HOST_MEM_LIMIT_IN_MB", "TF_GPU_THREAD_"),
    *("TF_GRPC_", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_PER_DEVICE_MEMORY_LIMIT_MB"),
)
CUDA_FOLDER = "--xla_gpu_cuda_data_dir="  # of XLA_FLAGS: where a library is, not what it does


def decide() -> None:
    """Sets what decides a result, for this process and those that it starts.

    Raises:
        InputError: Keras is loaded already, with another backend.
    """
    home, flags = os.environ.get("KERAS_HOME"), os.environ.get("XLA_FLAGS", "").split()
    if home and home != NO_FOLDER:
        os.environ.setdefault("GRAFT_WEIGHTS", os.path.join(home, "models"))  # the weights are still where they were
    for name in [name for name in os.environ if name.startswith(REMOVED) and not name.startswith(KEPT)]:
        del os.environ[name]
    os.environ.update(SET)
    if folder := [flag for flag in flags if flag.startswith(CUDA_FOLDER)]:
        os.environ["XLA_FLAGS"] = " ".join(folder)
    _set_loaded_keras()


def _set_loaded_keras() -> None:
    """The same for a Keras that read its file before Graft was imported, as in a process of somebody else."""
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is None:
        return
    if config.backend() != BACKEND:
        raise InputError(
            f"Keras: expected the backend '{BACKEND}', found '{config.backend()}', which was loaded before Graft.\n"
            f"Start this program with KERAS_BACKEND={BACKEND}, or import Graft first."
        )
    config.set_floatx(FLOAT)
    config.set_dtype_policy(FLOAT)
    config.set_epsilon(EPSILON)
    config.set_image_data_format(DATA_FORMAT)
