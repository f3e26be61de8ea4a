"""Weights files of PyTorch, read with NumPy: nothing of PyTorch is needed, and nothing in a file can run.

A file of `torch.save` before PyTorch 1.6 is five pickles (a magic number, a version, facts of the machine, the tensors,
the keys of their storages), then each storage: its count of elements as an int64, and the elements. A tensor is a view
of a storage: offset, shape and strides, and the strides need not be those of C order.
Source: `_legacy_save` and `_legacy_load` of https://github.com/pytorch/pytorch/blob/main/torch/serialization.py.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
ELEMENTS = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}


@dataclass(frozen=True)
class _Storage:
    """The elements that tensors are views of, which stand behind all pickles.

    Attributes:
        key: in the file.
        elements: their type, as NumPy calls it.
        size: count of elements.
    """

    key: str
    elements: np.dtype
    size: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, elements: np.ndarray) -> np.ndarray:
        """Gives the tensor as an array of its own, in C order.

        Raises:
            ValueError: the view reaches outside of the storage.
        """
        sides = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((side - 1) * stride for side, stride in sides) if all(self.shape) else 0
        if min((self.offset, *self.shape, *self.strides)) < 0 or last >= max(len(elements), 1):
            raise ValueError(f"a tensor of shape {self.shape} reaches outside of its storage")
        steps = tuple(stride * elements.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(elements[self.offset :], self.shape, steps, writeable=False)
        return np.array(view, order="C")


class _Unpickler(pickle.Unpickler):
    """Reads the structure of tensors; whatever else a pickle names is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in ELEMENTS:
            return np.dtype(ELEMENTS[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no tensor needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, elements, key, _, size, view = pid
        if kind != "storage" or not isinstance(elements, np.dtype) or view is not None:
            raise pickle.UnpicklingError("it has a storage of an unknown kind")
        return _Storage(str(key), elements, int(size))


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a weights file of PyTorch by their names.

    Args:
        path: of a state dictionary, as `torch.save` of PyTorch before 1.6 wrote it.

    Returns:
        Arrays in the order of the file, in C order, of the types in the file.

    Raises:
        ValueError: it is no such file, it is cut off, or it names anything but tensors.
    """
    with open(path, "rb") as file:
        try:
            if _load(file) != MAGIC or _load(file) != VERSION or not _load(file).get("little_endian"):
                raise ValueError("expected a file of torch.save before PyTorch 1.6")
            tensors, keys = _load(file), _load(file)
            storages = _read_storages(file, keys, tensors)
            return {name: tensor.view(storages[tensor.storage.key]) for name, tensor in tensors.items()}
        except ValueError:
            raise
        # What a damaged pickle leads to, besides its own error.
        except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"it is no weights file of PyTorch before 1.6: {error}") from error


def _load(file: IO[bytes]) -> Any:
    return _Unpickler(file, encoding="utf-8").load()


def _read_storages(file: IO[bytes], keys: list[str], tensors: Mapping[str, _Tensor]) -> dict[str, np.ndarray]:
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    found: dict[str, np.ndarray] = {}
    for key in keys:
        storage = known[key]
        count = int.from_bytes(file.read(8), "little")
        content = file.read(storage.size * storage.elements.itemsize)
        if count != storage.size or len(content) != storage.size * storage.elements.itemsize:
            raise ValueError(f"the file is cut off, or damaged: storage {key} has not its {storage.size:,} elements")
        found[key] = np.frombuffer(content, storage.elements)
    return found
