"""Weights files: those that fit, and what is said of those that do not."""

import socket
from pathlib import Path

import keras
import pytest

from components.errors import InputError
from components.trainer.build import build_backbone, digest_weights, find_misfit, load_weights_file

SIZE = (32, 32)


def build(alpha=0.35, seed=1):
    keras.utils.set_random_seed(seed)
    return build_backbone("MobileNetV2", SIZE, {"alpha": alpha}, "none")[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network in the three kinds of file, `narrow`, and a wider one, `wide`."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for name, alpha in (("narrow", 0.35), ("wide", 0.5)):
        model = build(alpha, seed=9)
        found[name] = digest_weights(model)
        model.save_weights(folder / f"{name}.weights.h5")
        model.save(folder / f"{name}.keras")
        write_legacy(model, folder / f"{name}.h5")
    return folder, found


@pytest.fixture(scope="module")
def target():
    """The network that files are loaded into where it does not matter what becomes of it."""
    return build()


def write_legacy(model, path: Path):
    """The layout of the files that Keras publishes: layers in order, weights under their names."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group[name.decode()] = weight.numpy()


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_every_kind_of_file_gives_the_same_weights(files, suffix):
    folder, digests = files
    backbone, digest = build_backbone("MobileNetV2", SIZE, {"alpha": 0.35}, str(folder / f"narrow{suffix}"))
    assert digest == digests["narrow"]
    assert digest != digest_weights(build())
    assert not backbone.trainable_weights


def test_weights_do_not_depend_on_the_size_of_the_images(files):
    folder, digests = files
    _, digest = build_backbone("MobileNetV2", (64, 48), {"alpha": 0.35}, str(folder / "narrow.weights.h5"))
    assert digest == digests["narrow"]


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_weights_of_another_width_are_refused_with_the_first_layer_and_both_shapes(files, target, suffix):
    path = str(files[0] / f"wide{suffix}")
    pairs = zip(target.layers, build(alpha=0.5).layers, strict=True)
    shapes = [(a.name, [tuple(w.shape) for w in a.weights], [tuple(w.shape) for w in b.weights]) for a, b in pairs]
    name, expected, found = next(row for row in shapes if row[1] != row[2])
    with pytest.raises(InputError) as caught:
        load_weights_file(target, "MobileNetV2", path)
    first, detail, fix = str(caught.value).splitlines()
    assert first == f"trainer.weights: {path} does not fit MobileNetV2."
    assert f"'{name}': expected shapes {str(expected).strip('[]')}; found {str(found).strip('[]')}" in detail
    assert "trainer.backbone_args (MobileNet: alpha)" in fix


def test_weights_of_another_network_are_refused(files, target, tmp_path):
    keras.utils.set_random_seed(1)
    other, _ = build_backbone("MobileNet", SIZE, {"alpha": 0.25}, "none")
    for path in (tmp_path / "other.weights.h5", tmp_path / "other.h5"):
        other.save_weights(path) if path.name.endswith(".weights.h5") else write_legacy(other, path)
        with pytest.raises(InputError, match="does not fit MobileNetV2") as caught:
            load_weights_file(target, "MobileNetV2", str(path))
        assert "Layer 1 of" in str(caught.value)
        assert "expected shapes (3, 3, 3, 16); found (3, 3, 3, 8)" in str(caught.value)


def test_a_network_that_fits_has_no_misfit(files, target):
    for suffix in (".weights.h5", ".h5"):
        assert find_misfit(target, str(files[0] / f"narrow{suffix}")) is None


def test_a_file_that_ends_early_is_named_so(files, target, tmp_path):
    import h5py

    short = tmp_path / "short.h5"
    short.write_bytes((files[0] / "narrow.h5").read_bytes())
    with h5py.File(short, "a") as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][:20]
    with pytest.raises(InputError, match="found nothing in the file, which ends before"):
        load_weights_file(target, "MobileNetV2", str(short))


@pytest.mark.parametrize("name", ["junk.h5", "junk.weights.h5", "junk.keras"])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, target, name):
    path = tmp_path / name
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match=rf"{name} does not fit MobileNetV2.\nIt is no .* file \(16 bytes\)"):
        load_weights_file(target, "MobileNetV2", str(path))


def test_a_missing_file_is_refused(tmp_path, target):
    with pytest.raises(InputError, match=r"expected a weights file, 'imagenet' or 'none'; there is no file .*gone.h5"):
        load_weights_file(target, "MobileNetV2", str(tmp_path / "gone.h5"))


def test_half_a_file_is_refused(files, target, tmp_path):
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes((files[0] / "narrow.weights.h5").read_bytes()[:100_000])
    with pytest.raises(InputError, match="does not fit MobileNetV2"):
        load_weights_file(target, "MobileNetV2", str(cut))


def test_imagenet_weights_that_cannot_be_fetched_come_with_the_ways_out(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(InputError) as caught:
        build_backbone("MobileNetV2", (224, 224), {}, "imagenet")
    text = str(caught.value)
    assert text.startswith("trainer.weights: the ImageNet weights of MobileNetV2 could not be had: ")
    assert "unreachable" in text.splitlines()[0]
    assert "--set trainer.weights=PATH" in text
