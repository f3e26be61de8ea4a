"""Files of `torch.save` before PyTorch 1.6, written here as PyTorch wrote them, and what is wrong with others."""

import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from components.trainer.backbones.torch_file import MAGIC, VERSION, read_tensors


class _Storage:
    """Stands for a storage, by its key."""

    def __init__(self, key):
        self.key = key


class _Rebuild:
    """Stands for a tensor: pickled as the call that makes it again."""

    def __init__(self, storage, offset, shape, strides):
        self.parts = storage, offset, shape, strides

    def __reduce_ex__(self, protocol):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (*self.parts, False, OrderedDict())


@pytest.fixture
def torch(monkeypatch):
    """Names of PyTorch that a pickle may refer to; nothing of it is installed."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "ByteStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*parts):
        raise AssertionError("never called")

    rebuild.__name__ = rebuild.__qualname__ = "_rebuild_tensor_v2"
    rebuild.__module__ = "torch._utils"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module


@pytest.fixture
def save(tmp_path, torch):
    """Writes tensors, each (storage's key, offset, shape, strides), and storages by key, as PyTorch did."""

    def call(tensors, storages, magic=MAGIC, kind="FloatStorage"):
        path = tmp_path / "weights.pth"
        with path.open("wb") as file:
            for value in (magic, VERSION, {"protocol_version": VERSION, "little_endian": True}):
                pickle.dump(value, file, 2)
            pickler = pickle.Pickler(file, 2)
            pickler.persistent_id = lambda found: (
                ("storage", getattr(torch, kind), found.key, "cpu", len(storages[found.key]), None)
                if isinstance(found, _Storage)
                else None
            )
            pickler.dump(OrderedDict((name, _Rebuild(_Storage(key), *view)) for name, (key, *view) in tensors.items()))
            pickle.dump(list(storages), file, 2)
            for values in storages.values():
                file.write(len(values).to_bytes(8, "little") + values.tobytes())
        return str(path)

    return call


NUMBERS = np.arange(12, dtype=np.float32)


def test_tensors_are_views_with_offset_and_strides(save):
    tensors = {
        "plain": ("k1", 0, (3, 4), (4, 1)),
        "turned": ("k1", 0, (4, 3), (1, 4)),
        "part": ("k1", 5, (2, 2), (4, 1)),
        "one": ("k2", 1, (), ()),
    }
    found = read_tensors(save(tensors, {"k1": NUMBERS, "k2": NUMBERS[:2]}))
    grid = NUMBERS.reshape(3, 4)
    assert list(found) == list(tensors)
    np.testing.assert_array_equal(found["plain"], grid)
    np.testing.assert_array_equal(found["turned"], grid.T)
    np.testing.assert_array_equal(found["part"], grid[1:, 1:3])
    assert (found["one"].shape, float(found["one"].reshape(()))) == ((), 1.0)
    assert all(values.flags.c_contiguous for values in found.values())


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((4, 4), (4, 1), 0), ((3, 4), (4, 1), 1), ((2, 2), (-4, 1), 4), ((-1,), (1,), 0)]
)
def test_a_view_that_leaves_its_storage_is_refused(save, shape, strides, offset):
    path = save({"w": ("k", offset, shape, strides)}, {"k": NUMBERS})
    with pytest.raises(ValueError, match="reaches outside of its storage"):
        read_tensors(path)


class _Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("content", [_Evil(), {"w": _Evil()}])
def test_nothing_in_a_file_runs(tmp_path, capsys, content):
    path = tmp_path / "evil.pth"
    with path.open("wb") as file:
        for value in (MAGIC, VERSION, {"little_endian": True}, content):
            pickle.dump(value, file, 2)
    with pytest.raises(ValueError, match=r"it names \w*builtin\w*\.print, which no tensor needs"):
        read_tensors(str(path))
    assert capsys.readouterr().out == ""


def test_storages_of_other_kinds_are_refused(save):
    with pytest.raises(ValueError, match=r"it names torch\.ByteStorage"):
        read_tensors(save({"w": ("k", 0, (12,), (1,))}, {"k": NUMBERS}, kind="ByteStorage"))


def test_every_cut_of_a_file_and_every_other_file_is_refused(save, tmp_path):
    path = save({"w": ("k", 0, (12,), (1,))}, {"k": NUMBERS})
    with open(path, "rb") as file:
        whole = file.read()
    for length in range(len(whole)):
        cut = tmp_path / "cut.pth"
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"PyTorch before 1\.6|is cut off"):
            read_tensors(str(cut))
    with pytest.raises(ValueError, match=r"expected a file of torch.save before PyTorch 1\.6"):
        read_tensors(save({}, {}, magic=1))
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match=r"no weights file of PyTorch before 1\.6"):
        read_tensors(str(tmp_path / "zip.pth"))
