"""A team's own trunk: files that serve, and what is said of those that do not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import InputError
from components.files.digests import digest_folder, digest_of
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.table import check_request
from tests import pictures

SIZE = (32, 48)
PIXELS = np.stack([pictures.noise(*SIZE, seed) for seed in (1, 2)]).astype(np.float32)


def trunk(shape=(None, None, 3), pooled=False, **arguments):
    """Convolution and batch norm; feature maps of 8 channels at half the size, or vectors."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input(shape, **arguments)
    outputs = keras.layers.Conv2D(8, 3, strides=2, padding="same")(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = keras.layers.BatchNormalization(momentum=0.5)(outputs)
    if pooled:
        outputs = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(outputs))
    return keras.Model(inputs, outputs)


def save(model, folder, kind):
    path = str(folder / ("trunk.keras" if kind == "keras" else "trunk"))
    if kind == "keras":
        model.save(path)
    elif kind == "exported":
        model.export(path, verbose=False)
    else:
        tf.saved_model.save(model, path)
    return path


@pytest.mark.parametrize("kind", ["keras", "exported", "saved"])
@pytest.mark.parametrize(
    ("pooled", "shape", "given"), [(False, (16, 24, 8), (None, None, 3)), (True, (5,), (*SIZE, 3))]
)
def test_a_saved_model_answers_as_before(tmp_path, kind, pooled, shape, given):
    model = trunk(given, pooled)
    path = save(model, tmp_path, kind)
    built = make_backbone(path, SIZE, {}, "imagenet")
    assert built.model.input_shape == (None, *SIZE, 3)
    assert built.model.output_shape == (None, *shape)
    assert (built.shape, built.width, built.scaling) == (shape, shape[-1], "inside")
    assert built.output == ("vector" if pooled else "maps")
    assert not built.model.trainable_weights
    expected = model(PIXELS, training=False)
    np.testing.assert_allclose(built.model(PIXELS, training=False), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["keras", "exported"])
def test_a_saved_model_can_be_exported_inside_another(tmp_path, kind):
    built = make_backbone(save(trunk(), tmp_path, kind), SIZE, {}, "imagenet")

    class Served(tf.Module):
        def __init__(self):
            super().__init__()
            self.backbone = built.model

        @tf.function(input_signature=[tf.TensorSpec([None, *SIZE, 3], tf.float32)])
        def serve(self, pixels):
            return {"maps": self.backbone(pixels, training=False)}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "served"), signatures={"serving_default": served.serve})
    tf.io.gfile.rename(str(tmp_path / "trunk"), str(tmp_path / "away")) if kind == "exported" else None
    answer = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"](tf.constant(PIXELS))
    np.testing.assert_allclose(answer["maps"], built.model(PIXELS, training=False), atol=1e-5)


@pytest.mark.parametrize("kind", ["keras", "exported"])
def test_a_saved_model_folds_into_constants(tmp_path, kind):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    built = make_backbone(save(trunk(), tmp_path, kind), SIZE, {}, "imagenet")
    forward = tf.function(lambda pixels: built.model(pixels, training=False))
    folded = convert_variables_to_constants_v2(
        forward.get_concrete_function(tf.TensorSpec([None, *SIZE, 3], tf.float32))
    )
    np.testing.assert_allclose(folded(tf.constant(PIXELS))[0], built.model(PIXELS, training=False), atol=1e-5)


def test_the_digest_is_that_of_the_files_and_can_be_pinned(tmp_path):
    path = save(trunk(), tmp_path, "keras")
    built = make_backbone(path, SIZE, {}, "imagenet", weights_sha256=digest_of(path))
    assert built.digest == built.weights_sha256 == digest_of(path)
    assert built.weights_file == path
    with pytest.raises(InputError, match=f"trainer.weights_sha256: expected {'0' * 64},\nfound {digest_of(path)}"):
        make_backbone(path, SIZE, {}, "imagenet", weights_sha256="0" * 64)


def test_the_digest_of_a_folder_follows_names_and_contents_only(tmp_path):
    for name, where in (("a", "x"), ("b", "x")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / where).write_bytes(b"content")
        (tmp_path / name / "top").write_bytes(b"top")
    before = digest_folder(str(tmp_path / "a"))
    assert digest_folder(str(tmp_path / "b")) == before
    (tmp_path / "b" / "sub" / "x").rename(tmp_path / "b" / "sub" / "y")
    assert digest_folder(str(tmp_path / "b")) != before
    (tmp_path / "a" / "top").write_bytes(b"Top")
    assert digest_folder(str(tmp_path / "a")) != before


def test_half_precision_inside_comes_out_as_float32(tmp_path):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16")(inputs))
    built = make_backbone(save(model, tmp_path, "keras"), SIZE, {}, "imagenet")
    assert built.model(PIXELS, training=False).dtype == tf.float32


def refusal(path, size=SIZE, weights="imagenet"):
    with pytest.raises(InputError) as caught:
        make_backbone(str(path), size, {}, weights)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["keras", "exported"])
def test_images_of_another_size_than_the_model_takes_are_refused(tmp_path, kind):
    path = save(trunk((*SIZE, 3)), tmp_path, kind)
    assert refusal(path, (32, 32)) == (
        f"transform.image_size: the backbone {path} takes 32 x 48 pixels, got 32 x 32.\n"
        "Set transform.image_size: [32, 48]."
    )


@pytest.mark.parametrize("kind", ["keras", "exported"])
@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ({"shape": (None, None, 1)}, "float32 [any, any, any, 1]"),
        ({"dtype": "uint8"}, "uint8 [any, any, any, 3]"),
    ],
)
def test_a_model_of_other_input_is_refused(tmp_path, kind, arguments, taken):
    text = refusal(save(trunk(**arguments), tmp_path, kind))
    assert "expected a model from float32 [batch, h, w, 3] to float32 [batch, h, w, d] or [batch, d]" in text
    assert f"takes {taken}." in text


def test_a_model_of_two_inputs_is_refused(tmp_path):
    inputs = [keras.Input((*SIZE, 3)), keras.Input((4,))]
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(inputs[0]), inputs[1]])
    model = keras.Model(inputs, joined)
    assert "takes float32 [any, 32, 48, 3]; float32 [any, 4]." in refusal(save(model, tmp_path, "keras"))


def test_a_model_of_one_size_of_batch_is_refused(tmp_path):
    inputs = keras.Input(batch_shape=(1, *SIZE, 3))
    path = save(keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)), tmp_path, "keras")
    assert "expected a model for batches of any size" in refusal(path)
    assert "Save it with None as the first side" in refusal(path)


def test_a_model_whose_output_has_another_rank_is_refused(tmp_path):
    inputs = keras.Input((*SIZE, 3))
    path = save(keras.Model(inputs, keras.layers.Reshape((-1, 3))(inputs)), tmp_path, "keras")
    assert "gives [2, 1536, 3] for two images.\nSave it up to its last feature map, or up to its pooling." in refusal(
        path
    )


def test_a_model_of_two_outputs_is_refused(tmp_path):
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, {"a": keras.layers.Conv2D(4, 3)(inputs), "b": keras.layers.Conv2D(4, 3)(inputs)})
    assert "gives dict for two images" in refusal(save(model, tmp_path, "keras"))
    assert "expected one output of endpoint 'serving_default'" in refusal(save(model, tmp_path, "exported"))


def test_a_model_that_does_not_run_at_this_size_is_refused(tmp_path):
    inputs = keras.Input((None, None, 3))
    path = save(keras.Model(inputs, keras.layers.Conv2D(4, 40)(inputs)), tmp_path, "keras")
    assert "does not run on images of 32 x 48: " in refusal(path)


def test_code_inside_a_keras_file_is_not_run(tmp_path):
    inputs = keras.Input((*SIZE, 3))
    path = save(keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2.0)(inputs)), tmp_path, "keras")
    text = refusal(path)
    assert f"{path} cannot be read as a Keras model: " in text
    assert "Expected a model of Keras' own layers only, without Lambda layers" in text
    assert "SavedModel" not in text, "a SavedModel is no safer: errors lead nobody there"


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "junk.keras").write_bytes(b"<html>404</html>")
    assert "junk.keras cannot be read as a Keras model: " in refusal(tmp_path / "junk.keras")
    (tmp_path / "weights.h5").write_bytes(b"x")
    assert "expected a .keras file or a SavedModel folder, got" in refusal(tmp_path / "weights.h5")
    assert "cannot be read as a SavedModel: " in refusal(tmp_path)


def test_a_savedmodel_without_endpoints_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    text = refusal(tmp_path / "bare")
    assert "expected an endpoint serving_default or serve in" in text
    assert "found none.\nExport it with model.export" in text


def test_the_only_endpoint_is_taken_whatever_its_name(tmp_path):
    class Bare(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
        def mean(self, x):
            return tf.reduce_mean(x, [1, 2])

    bare = Bare()
    tf.saved_model.save(bare, str(tmp_path / "bare"), signatures={"mean": bare.mean})
    built = make_backbone(str(tmp_path / "bare"), SIZE, {}, "imagenet")
    np.testing.assert_allclose(built.model(PIXELS), PIXELS.mean((1, 2)), rtol=1e-4)


@pytest.mark.parametrize("weights", ["none", "w.h5"])
def test_weights_beside_a_saved_model_are_refused(tmp_path, weights):
    text = refusal(save(trunk(), tmp_path, "keras"), weights=weights)
    assert f"brings its own, got '{weights}'.\nLeave trainer.weights out." in text


@pytest.mark.parametrize("name", ["net.onnx", "./my nets/<b>.ONNX"])
def test_an_onnx_file_is_refused_with_what_to_do_instead(name):
    with pytest.raises(
        InputError, match=r"(?i)got the ONNX file .*onnx: none of the converters .*\nOf networks .*\nBuild"
    ) as caught:
        check_request(name, (64, 64), {})
    assert name in str(caught.value)
