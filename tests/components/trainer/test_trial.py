"""What cannot be had, trained or exported is found before any image is read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.options.trainer import FineTuneOptions, TrainerOptions
from components.trainer import trial
from components.trainer.trial import try_network
from tests.components.trainer.backbones.cut import cut_networks

SIZE = (24, 24)


def save(folder, *names, pooled=False):
    """A trunk with layers of these names."""
    inputs = outputs = keras.Input((*SIZE, 3))
    for name in names:
        outputs = keras.layers.Conv2D(4, 1, strides=2, name=name)(outputs)
    if pooled:
        outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    keras.Model(inputs, outputs).save(folder / "trunk.keras")
    return str(folder / "trunk.keras")


def attempt(path, **options):
    return try_network(TrainerOptions(backbone=path, **options), SIZE, ())


@pytest.mark.parametrize("name", ["_a", "__init__", "-a", "a b", "a:b", "été", "a+b"])
def test_names_that_tensorflow_cannot_hold_are_said(tmp_path, name):
    path = save(tmp_path, "first", name)
    with pytest.raises(InputError, match=r"not be exported for serving: .*valid.* scope name") as caught:
        attempt(path)
    assert str(caught.value).endswith(
        f"Rename the layers '{name}' and save it again: for TensorFlow a name begins with a letter or a digit, and has "
        "only letters without accents, digits, '.', '_' and '-'."
    )


@pytest.mark.parametrize("pooled", [False, True])
def test_other_names_pass_and_vectors_too(tmp_path, pooled):
    path = save(tmp_path, "a", "1a", "a.b", "a_", "kernel", "name", "head", pooled=pooled)
    assert attempt(path) == path


def test_layers_of_one_name_in_two_blocks_are_exported_with_their_own_values(tmp_path):
    def block(size, channels, name):
        inputs = keras.Input((*size, channels))
        return keras.Model(inputs, keras.layers.Conv2D(4, 3, padding="same", name="same")(inputs), name=name)

    inputs = keras.Input((*SIZE, 3))
    keras.Model(inputs, block(SIZE, 4, "b")(block(SIZE, 3, "a")(inputs))).save(tmp_path / "trunk.keras")
    attempt(str(tmp_path / "trunk.keras"))


def test_what_the_export_answers_is_what_the_network_answers(tmp_path):
    from components.trainer.backbones.build import make_backbone
    from components.trainer.export.signatures import ServedModel
    from components.trainer.export.write import export_model
    from components.trainer.heads.head import Head

    built = make_backbone(save(tmp_path, "a", "b", pooled=True), SIZE, {}, "imagenet")
    head = Head(np.zeros([4, 2], np.float32), np.zeros(2, np.float32))
    served = ServedModel(built, "avg", head, trial._Blank(SIZE), ["a", "b"])
    export_model(served, str(tmp_path / "export"), {"classes": ["a", "b"]})
    found = tf.saved_model.load(str(tmp_path / "export"))
    assert sorted(found.signatures) == ["embed", "serve_examples", "serving_default"]
    answer = found.signatures["embed"](image_bytes=tf.constant([b""]))["features"]
    np.testing.assert_allclose(answer, built.model(np.zeros([1, *SIZE, 3], np.float32)), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fine_tune": FineTuneOptions(from_layer="b")}, "from_layer: expected a layer of the backbone, got 'b'"),
        ({"weights_sha256": "0" * 64}, "trainer.weights_sha256: expected 0000"),
        ({"weights": "none"}, "brings its own, got 'none'"),
    ],
)
def test_options_that_do_not_go_with_the_network_are_said(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        attempt(save(tmp_path, "a"), **options)


@pytest.mark.parametrize("options", [{"precision": "mixed_bfloat16"}, {"fine_tune": FineTuneOptions(layers=1)}])
def test_a_folder_takes_no_other_precision_and_no_training(tmp_path, options):
    keras.saving.load_model(save(tmp_path, "a")).export(tmp_path / "trunk", verbose=False)
    with pytest.raises(InputError, match="this one is a SavedModel"):
        attempt(str(tmp_path / "trunk"), **options)


@pytest.mark.parametrize("content", [b"", b"no model" * 100])
def test_a_file_that_is_no_model_is_said(tmp_path, content):
    (tmp_path / "trunk.keras").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a Keras model"):
        attempt(str(tmp_path / "trunk.keras"))


def test_a_weights_file_of_another_network_is_said(weights_file, monkeypatch):
    cut_networks(monkeypatch)
    with pytest.raises(InputError, match="does not fit MobileNetV2"):
        try_network(TrainerOptions(weights=weights_file, backbone_args={"alpha": 0.5}), (32, 32), ())


def test_names_of_layers_made_later_stay_as_they_were(tmp_path):
    path = save(tmp_path, "a")
    first = int("0" + keras.layers.Dense(1).name.partition("_")[2])
    attempt(path)
    assert keras.layers.Dense(1).name == f"dense_{first + 1}"
