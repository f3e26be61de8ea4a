"""Weights files: those that fit, and what is said of those that do not."""

import keras
import numpy as np
import pytest

from components.errors import InputError
from components.files.digests import digest_of
from components.trainer.backbones.build import digest_weights, make_backbone
from components.trainer.backbones.weights import IMAGENET_DEVIATIONS_RGB, find_misfit, load_weights_file
from tests import pictures
from tests.components.trainer.backbones.cut import cut_networks
from tests.components.trainer.published import write_legacy

SIZE = (32, 32)


@pytest.fixture(scope="module", autouse=True)
def _cut():
    """Files hold a block of each kind as they hold twenty."""
    with pytest.MonkeyPatch.context() as patch:
        cut_networks(patch)
        yield


def build(alpha=0.35, seed=1):
    keras.utils.set_random_seed(seed)
    return make_backbone("MobileNetV2", SIZE, {"alpha": alpha}, "none").model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network in the three kinds of file, `narrow`, and a wider one, `wide`; the folder and both networks."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for name, alpha in (("narrow", 0.35), ("wide", 0.5)):
        found[name] = model = build(alpha, seed=9)
        model.save_weights(folder / f"{name}.weights.h5")
        model.save(folder / f"{name}.keras")
        write_legacy(model, folder / f"{name}.h5")
    return folder, found


@pytest.fixture(scope="module")
def target():
    """The network that files are loaded into where it does not matter what becomes of it."""
    return build()


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_every_kind_of_file_gives_the_same_weights(files, target, suffix):
    folder, networks = files
    built = make_backbone("MobileNetV2", SIZE, {"alpha": 0.35}, str(folder / f"narrow{suffix}"))
    assert built.digest == digest_weights(networks["narrow"])
    assert built.digest != digest_weights(target)
    assert not built.model.trainable_weights


def test_weights_do_not_depend_on_the_size_of_the_images(files):
    folder, networks = files
    digest = make_backbone("MobileNetV2", (64, 48), {"alpha": 0.35}, str(folder / "narrow.weights.h5")).digest
    assert digest == digest_weights(networks["narrow"])


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_weights_of_another_width_are_refused_with_the_first_layer_and_both_shapes(files, target, suffix):
    folder, networks = files
    path = str(folder / f"wide{suffix}")
    pairs = zip(target.layers, networks["wide"].layers, strict=True)
    shapes = [(a.name, [tuple(w.shape) for w in a.weights], [tuple(w.shape) for w in b.weights]) for a, b in pairs]
    name, expected, found = next(row for row in shapes if row[1] != row[2])
    with pytest.raises(InputError) as caught:
        load_weights_file(target, "MobileNetV2", path)
    first, detail, fix = str(caught.value).splitlines()
    assert first == f"trainer.weights: {path} does not fit MobileNetV2."
    assert f"'{name}': expected shapes {str(expected).strip('[]')}; found {str(found).strip('[]')}" in detail
    assert "trainer.backbone_args (MobileNet: alpha)" in fix


def test_weights_of_another_network_are_refused(files, target, tmp_path):
    pixels = keras.Input((*SIZE, 3))
    other = keras.Model(pixels, keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(pixels)))
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


def test_a_file_that_was_pinned_is_loaded_and_another_is_refused(files):
    path = str(files[0] / "narrow.h5")
    built = make_backbone("MobileNetV2", SIZE, {"alpha": 0.35}, path, weights_sha256=digest_of(path))
    assert (built.weights_file, built.weights_sha256) == (path, digest_of(path))
    with pytest.raises(InputError, match=f"expected {'0' * 64},\nfound {digest_of(path)} in {path}"):
        make_backbone("MobileNetV2", SIZE, {"alpha": 0.35}, path, weights_sha256="0" * 64)


def test_a_missing_file_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*gone.h5"):
        make_backbone("MobileNetV2", SIZE, {}, str(tmp_path / "gone.h5"), weights_sha256="0" * 64)


@pytest.fixture(scope="module")
def efficient(tmp_path_factory):
    """An EfficientNetB0 as Keras publishes it, deviations for variances, in each kind of file, and Keras' network."""
    folder = tmp_path_factory.mktemp("efficient")
    keras.utils.set_random_seed(4)
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(*SIZE, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt_mean.assign([0.485, 0.456, 0.406])
            layer.adapt_variance.assign(IMAGENET_DEVIATIONS_RGB)
            layer.finalize_state()
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(np.stack([pictures.noise(*SIZE, seed) for seed in range(8)]), training=True)  # else activations fade to 1e-6
    write_legacy(model, folder / "w.h5")
    model.save_weights(folder / "w.weights.h5")
    model.save(folder / "w.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **kwargs: str(folder / "w.h5"))
        own = keras.applications.EfficientNetB0(weights="imagenet", include_top=False, input_shape=(*SIZE, 3))
    return folder, own, model


def seen_by_the_first_convolution(network, pixels):
    return keras.Model(network.input, network.get_layer("stem_conv_pad").output)(pixels, training=False).numpy()


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras"])
def test_a_file_of_an_efficientnet_gives_the_features_that_keras_has_for_imagenet(efficient, name):
    folder, own, uncorrected = efficient
    pixels = pictures.noise(*SIZE).astype(np.float32)[None]
    built = make_backbone("EfficientNetB0", SIZE, {}, str(folder / name))
    expected, found, wrong = (seen_by_the_first_convolution(x, pixels) for x in (own, built.model, uncorrected))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(wrong - expected).max() > 0.5
    expected, found = (network(pixels, training=False).numpy() for network in (own, built.model))
    largest = np.abs(expected).max()
    assert 0 < largest < 1e6
    np.testing.assert_allclose(found / largest, expected / largest, atol=1e-2)  # rounding grows with random weights


def test_statistics_of_an_efficientnet_that_are_right_stay_as_they_are(tmp_path):
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(*SIZE, 3))
    statistics = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    statistics.adapt_variance.assign(np.square(IMAGENET_DEVIATIONS_RGB))
    built = make_backbone("EfficientNetB0", SIZE, {}, "none")
    model.save(tmp_path / "w.keras")
    load_weights_file(built.model, "EfficientNetB0", str(tmp_path / "w.keras"))
    assert digest_weights(built.model) == digest_weights(model)
