"""The int8 file: bytes in, bytes out, a quarter of the size, and nearly the SavedModel's answers on real images."""

import hashlib
import io
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.contract.gates import FAIL, PASS
from components.errors import InputError
from components.exports import tflite, tflite_int8
from components.exports.answers import Reference
from components.exports.tflite_int8 import FILE, representative_pixels, write
from components.options.gates import ServabilityGateOptions
from components.servable_check.executor import check_form
from components.trainer.backbones.build import BuiltBackbone, digest_weights
from components.trainer.export.signatures import ServedModel
from components.trainer.export.write import export_model
from components.trainer.heads.head import Head
from tests.components.exports.test_tflite import answers, read_metadata, request_for
from tests.conftest import CLASSES, SIDE, make_interpreter

pytestmark = pytest.mark.slow
WIDTH = 256  # of the convolution: its weights outweigh what a file is made of besides


def small_backbone():
    """Two convolutions; of a stride wider than its kernel XNNPACK makes nothing but zeros."""
    keras.utils.set_random_seed(4)
    pixels = keras.Input((SIDE, SIDE, 3))
    maps = keras.layers.Conv2D(32, 5, strides=4, activation="relu6")(pixels)
    model = keras.Model(pixels, keras.layers.Conv2D(WIDTH, 3, strides=2, activation="relu6")(maps))
    model.trainable = False
    return BuiltBackbone(model, "-1..1", digest_weights(model), model.output_shape[1:])


@pytest.fixture(scope="module")
def served(transform):
    head = Head(np.random.default_rng(2).normal(0, 1, [WIDTH, 3]).astype(np.float32), np.zeros([3], np.float32))
    return ServedModel(small_backbone(), "avg", head, transform, CLASSES)


@pytest.fixture(scope="module")
def written(served, train_records, tmp_path_factory):
    """An export with both files of TensorFlow Lite."""
    path = tmp_path_factory.mktemp("exported")
    export_model(served, str(path), {"classes": CLASSES})
    tflite.write(str(path), lambda count: [])
    write(str(path), lambda count: train_records.contents[:count])
    return path


@pytest.fixture(scope="module")
def content(written):
    return (written / features.EXTRA_ASSETS / FILE).read_bytes()


def test_it_takes_the_bytes_of_pixels_and_gives_probabilities_in_steps_of_one_in_256(content):
    interpreter = make_interpreter(content)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["shape_signature"].tolist() == [-1, SIDE, SIDE, 3]
    assert (taken["dtype"], taken["quantization"]) == (np.uint8, (1.0, 0))
    assert (given["dtype"], given["quantization"]) == (np.uint8, (1 / 256, 0))
    assert {row["dtype"] for row in interpreter.get_tensor_details()} <= {np.int8, np.uint8, np.int32}


def test_it_answers_nearly_as_the_signature_does_on_real_images(served, content, eval_records):
    images = tf.constant(eval_records.contents)
    expected = served.serve_bytes(images)[features.OUTPUT_PROBABILITIES].numpy()
    found = answers(content, served.decode(images).numpy().round().astype(np.uint8)) / 256
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.ptp(expected[:, 0]) > 0.1  # or anything would agree


def test_the_metadata_says_bytes_and_holds_the_class_names(content):
    (graph,) = read_metadata(content).items(3)
    (taken,), (given,) = graph.items(2), graph.items(3)
    assert "0 to 255, as uint8" in taken.text(1)
    assert (given.inner(5).floats(0), given.inner(5).floats(1)) == ([255.0], [0.0])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read(features.LABELS_ASSET).decode("utf-8").splitlines() == CLASSES


def test_it_is_little_more_than_a_quarter_of_the_size(written, content):
    whole = written / features.EXTRA_ASSETS / tflite.FILE
    assert 0.25 < len(content) / whole.stat().st_size < 0.3


def test_equal_vectors_are_written_once(content):
    model = tflite.flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    again = bytes(tflite.flatbuffer_utils.convert_object_to_bytearray(model))
    assert len(tflite.pack(model)) < len(again) - 8 * WIDTH  # the zeros of weights and bias, at the least
    one, other = (make_interpreter(packed) for packed in (tflite.pack(model), again))
    assert [str(row) for row in one.get_tensor_details()] == [str(row) for row in other.get_tensor_details()]


def test_the_same_images_give_the_same_bytes(written, train_records, content):
    write(str(written), lambda count: train_records.contents[:count])
    assert (written / features.EXTRA_ASSETS / FILE).read_bytes() == content


def test_the_range_of_the_input_is_that_of_bytes_whatever_the_images(served):
    (first,), (second,) = representative_pixels(served, lambda count: [tf.io.encode_png(GREY).numpy()] * 2)
    assert (first.min(), first.max(), np.median(first)) == (0.0, 255.0, 7.0)
    assert (second.min(), second.max()) == (7.0, 7.0)


GREY = np.full([SIDE, SIDE, 3], 7, np.uint8)


def reference_of(served, records, **changes):
    probabilities = served.serve_bytes(tf.constant(records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    digests = [hashlib.sha256(content).hexdigest() for content in records.contents]
    truth = {digest: int(row.argmax()) for digest, row in zip(digests, probabilities, strict=True)}
    return Reference(CLASSES, {}, dict(zip(digests, probabilities, strict=True)), truth | changes)


def test_all_eval_images_are_asked_about_in_a_fresh_process(served, written, eval_records):
    known = reference_of(served, eval_records)
    request = {**request_for(written, eval_records), "images": 1}
    measured, checks = check_form("tflite-int8", request, {}, known, ServabilityGateOptions(max_loss=0.6))
    assert {check.name: check.verdict for check in checks} == {"tflite-int8/loss": PASS, "tflite-int8/labels": PASS}
    assert measured["tflite_int8_images"] == len(eval_records.contents)
    assert measured["tflite_int8_accuracy"] > 0.8
    assert measured["tflite_int8_milliseconds"] > 0


def test_a_file_that_answers_something_else_is_refused(served, transform, eval_records, tmp_path):
    """The file of another head beside this export: the paired test sees what it loses."""
    head = Head(-served.kernel.numpy(), np.zeros([3], np.float32))
    other = ServedModel(small_backbone(), "avg", head, transform, CLASSES)
    export_model(other, str(tmp_path), {"classes": CLASSES})
    write(str(tmp_path), lambda count: eval_records.contents[:count])
    known = reference_of(served, eval_records)
    _, (loss, _) = check_form("tflite-int8", request_for(tmp_path, eval_records), {}, known, ServabilityGateOptions())
    assert (loss.name, loss.verdict) == ("tflite-int8/loss", FAIL)
    assert "model-int8.tflite: worse than tolerated" in loss.reason


def test_a_network_with_operations_that_int8_has_not_is_refused(tmp_path):
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
        def classify_pixels(self, pixels):
            return {"probabilities": tf.math.atan2(tf.reduce_mean(pixels, [1, 2]), 2.0)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def decode(self, images):
            return tf.zeros([tf.shape(images)[0], 4, 4, 3])

    tf.saved_model.save(Odd(), str(tmp_path))
    with pytest.raises(InputError, match=r"TensorFlow Lite cannot take this backbone: .*\nLeave `tflite-int8` out"):
        tflite_int8.write(str(tmp_path), lambda count: [b""])
