"""The ONNX file answers as the SavedModel does in a process without TensorFlow, and says what it takes and gives."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from components.contract import features
from components.contract.gates import FAIL, PASS
from components.errors import InputError
from components.exports.answers import Reference
from components.exports.onnx import FILE, convert, write
from components.exports.onnx_probe import AT_ONCE
from components.options.gates import ServabilityGateOptions
from components.servable_check.executor import check_form
from components.servable_check.probe_process import run_probe
from components.trainer.backbones.build import make_backbone
from components.trainer.export.signatures import ServedModel
from components.trainer.export.write import export_model
from components.trainer.heads.head import Head
from tests.conftest import ALPHA, SIDE

pytestmark = pytest.mark.slow
CLASSES = ["it's a cat", '"dog" <img onerror=x>', "قطة"]


@pytest.fixture(scope="module")
def served(transform, weights_file):
    backbone = make_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, weights_file)
    draw = np.random.default_rng(1)
    head = Head(draw.normal(0, 0.1, [1280, 3]).astype(np.float32), np.array([0.1, 0.0, -0.1], np.float32))
    return ServedModel(backbone, "avg", head, transform, CLASSES)


@pytest.fixture(scope="module")
def written(served, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    export_model(served, str(path), {"classes": CLASSES})
    write(str(path), lambda count: pytest.fail("needs no images"))
    return path


@pytest.fixture(scope="module")
def file(written):
    return str(written / features.EXTRA_ASSETS / FILE)


def test_it_is_a_model_by_the_book_that_says_what_it_takes_and_gives(file):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {row.domain: row.version for row in model.opset_import}[""] == 17
    (taken,), (given,) = model.graph.input, model.graph.output
    shapes = [[axis.dim_param or axis.dim_value for axis in row.type.tensor_type.shape.dim] for row in (taken, given)]
    assert (taken.name, given.name) == ("pixels", "probabilities")
    assert shapes == [["batch", SIDE, SIDE, 3], ["batch", 3]]
    facts = {row.key: row.value for row in model.metadata_props}
    assert json.loads(facts["classes"]) == CLASSES
    assert facts["opset"] == "17"
    assert "RGB pixels, 0 to 255, as float32" in facts["pixels"]


@pytest.mark.parametrize("count", [1, 5])
def test_it_answers_a_batch_of_any_size_as_the_signature_does(served, file, eval_records, count):
    images = tf.constant(eval_records.contents[:count])
    expected = served.serve_bytes(images)[features.OUTPUT_PROBABILITIES].numpy()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"pixels": served.decode(images).numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def asked(served, written, eval_records, folder):
    """What the SavedModel's probe leaves for others, of more images than one batch has, and what it answered."""
    contents = (eval_records.contents * AT_ONCE)[: AT_ONCE + 2]
    digests = [f"{number} {hashlib.sha256(content).hexdigest()}" for number, content in enumerate(contents)]
    images = tf.constant(contents)
    pixels = served.decode(images).numpy()
    (folder / "pixels").write_bytes(pixels.tobytes())
    probabilities = served.serve_bytes(images)[features.OUTPUT_PROBABILITIES].numpy()
    request = {"model": str(written), "pixels": str(folder / "pixels"), "images": len(images)}
    return request, {"pixels_shape": list(pixels.shape)}, dict(zip(digests, probabilities, strict=True))


def test_it_is_held_against_the_saved_model_in_a_process_without_tensorflow(served, written, eval_records, tmp_path):
    request, answered, known = asked(served, written, eval_records, tmp_path)
    reference, gate = Reference(CLASSES, known), ServabilityGateOptions()
    measured, checks = check_form("onnx", request, answered, reference, gate)
    assert {check.name: check.verdict for check in checks} == {"onnx/parity": PASS, "onnx/labels": PASS}, checks
    assert measured["onnx_images"] == measured["onnx_same_label"] == AT_ONCE + 2
    assert 0 < measured["onnx_max_difference"] < 1e-4
    assert measured["onnx_milliseconds"] > 0

    shifted = Reference(["a", *CLASSES[1:]], {name: row[::-1] for name, row in known.items()})
    _, checks = check_form("onnx", request, answered, shifted, gate)
    assert {check.name: check.verdict for check in checks} == {"onnx/parity": FAIL, "onnx/labels": FAIL}


def test_the_probe_loads_neither_tensorflow_nor_us(served, written, file, eval_records, tmp_path):
    from components.exports.onnx import PROBE, settings

    request, answered, known = asked(served, written, eval_records, tmp_path)
    answer, failure = run_probe({**request, **answered, "file": file, "digests": list(known), **settings()}, 300, PROBE)
    assert failure == ""
    assert answer["foreign_modules"] == []


def test_a_network_with_operations_that_onnx_has_not_is_refused():
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
        def classify_pixels(self, pixels):
            return {"probabilities": tf.math.igamma(2.0, tf.reduce_mean(pixels, [1, 2]))}

    model = Odd()
    function = model.classify_pixels.get_concrete_function()
    with pytest.raises(InputError, match=r"exports: ONNX cannot take this backbone: .*\nLeave `onnx` out"):
        convert(wrapped(model.classify_pixels, function))


def wrapped(function, concrete):
    """A loaded export has its concrete functions in a list."""
    function.concrete_functions = [concrete]
    return SimpleNamespace(classify_pixels=function)
