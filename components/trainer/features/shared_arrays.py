"""Large arrays that are in memory once: features of all images, put into order in place, shared with TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

ALIGNMENT = 64  # bytes: what TensorFlow asks of memory that it reads in place
AT_ONCE = 64  # columns


def aligned_zeros(rows: int, width: int) -> np.ndarray:
    """Makes float32 [rows, width] of zeros that TensorFlow can read in place, see `share`."""
    size = rows * width * np.dtype(np.float32).itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(rows, width)


def share(values: np.ndarray) -> tf.Tensor:
    """Gives the array as a tensor: the same memory where it is aligned, else a copy.

    It must not be changed as long as the tensor is used.
    """
    import tensorflow as tf  # only here: `graft features prune` imports the store without TensorFlow

    if not values.size or values.ctypes.data % ALIGNMENT or not values.flags.c_contiguous or not values.flags.writeable:
        return tf.constant(values)
    return tf.experimental.dlpack.from_dlpack(values.__dlpack__())


def reorder(values: np.ndarray, order: np.ndarray) -> None:
    """Reorders rows, `values[:] = values[order]`, without a second array of that size.

    Args:
        values: [n, d], changed in place.
        order: int [n], a permutation.
    """
    for start in range(0, values.shape[1], AT_ONCE):
        columns = slice(start, start + AT_ONCE)
        values[:, columns] = values[order, columns]
