"""The TensorFlow Lite file answers as the SavedModel does, which is checked, and says what it takes and gives."""

import hashlib
import io
import json
import zipfile
from types import SimpleNamespace

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers.table import Table

from components.contract import features
from components.contract.gates import PASS
from components.errors import InputError
from components.exports import tflite_probe
from components.exports.answers import Reference
from components.exports.tflite import FILE, add_metadata, convert, settings, write
from components.exports.tflite_metadata import BUFFER_NAME
from components.options.gates import ServabilityGateOptions
from components.servable_check.executor import check_form, find_forms
from components.trainer.backbones.build import make_backbone
from components.trainer.export.signatures import ServedModel
from components.trainer.export.write import export_model, write_assets
from components.trainer.heads.head import Head
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import ALPHA, CLASSES, SIDE, make_interpreter

pytestmark = pytest.mark.slow

GATE = ServabilityGateOptions()


@pytest.fixture(scope="module")
def served(transform, weights_file):
    backbone = make_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, weights_file)
    draw = np.random.default_rng(1)
    head = Head(draw.normal(0, 0.1, [1280, 3]).astype(np.float32), np.array([0.1, 0.0, -0.1], np.float32))
    return ServedModel(backbone, "avg", head, transform, CLASSES)


def no_images(count):
    raise AssertionError("float32 needs no images")


@pytest.fixture(scope="module")
def written(served, tmp_path_factory):
    """An export with its TensorFlow Lite file, as the Trainer leaves it."""
    path = tmp_path_factory.mktemp("exported")
    export_model(served, str(path), {"classes": CLASSES})
    write(str(path), no_images)
    return path


@pytest.fixture(scope="module")
def content(written):
    return (written / features.EXTRA_ASSETS / FILE).read_bytes()


@pytest.fixture(scope="module")
def plain(transform, tmp_path_factory):
    """A network of one convolution without metadata."""
    path = str(tmp_path_factory.mktemp("plain"))
    head = Head(np.ones([8, 3], np.float32), np.zeros([3], np.float32))
    export_model(ServedModel(tiny_backbone(SIDE), "avg", head, transform, CLASSES), path, {"classes": CLASSES})
    return path, convert(tf.saved_model.load(path))


def answers(content, pixels):
    """Probabilities for a batch, which the model is resized to."""
    interpreter = make_interpreter(content)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], pixels.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def test_it_answers_as_the_signature_does_on_real_images(served, content, eval_records):
    images = tf.constant(eval_records.contents)
    expected = served.serve_bytes(images)[features.OUTPUT_PROBABILITIES].numpy()
    found = answers(content, served.decode(images).numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected[:, 0]) > 0.05  # or anything would agree


def test_the_input_is_a_batch_of_pixels(content):
    (taken,) = make_interpreter(content).get_input_details()
    assert taken["shape_signature"].tolist() == [-1, SIDE, SIDE, 3]
    assert taken["dtype"] == np.float32


def test_class_names_lie_behind_the_model_as_an_associated_file(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [features.LABELS_ASSET]
        assert archive.read(features.LABELS_ASSET).decode("utf-8").splitlines() == CLASSES


def test_the_same_model_gives_the_same_bytes(plain):
    path, content = plain
    assert add_metadata(content, path) == add_metadata(content, path)


class Reader:
    """A table of a flatbuffer, by the numbers of its fields, as a reader of the schema sees it."""

    def __init__(self, buffer, place):
        self.table = Table(buffer, place)

    @classmethod
    def root(cls, buffer):
        return cls(buffer, flatbuffers.encode.Get(flatbuffers.packer.uoffset, buffer, 0))

    def _at(self, field):
        place = self.table.Offset(4 + 2 * field)
        assert place, f"field {field} is missing"
        return place

    def text(self, field):
        return self.table.String(self.table.Pos + self._at(field)).decode()

    def inner(self, field):
        return Reader(self.table.Bytes, self.table.Indirect(self.table.Pos + self._at(field)))

    def items(self, field):
        start = self.table.Vector(self._at(field))
        return [
            Reader(self.table.Bytes, self.table.Indirect(start + 4 * index))
            for index in range(self.table.VectorLen(self._at(field)))
        ]

    def number(self, field, flags=flatbuffers.number_types.Uint8Flags):
        return self.table.Get(flags, self.table.Pos + self._at(field))

    def floats(self, field):
        return self.table.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, self._at(field)).tolist()


def read_metadata(content):
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    (entry,) = [
        model.Metadata(i) for i in range(model.MetadataLength()) if model.Metadata(i).Name() == BUFFER_NAME.encode()
    ]
    buffer = bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    assert buffer[4:8] == b"M001"
    return Reader.root(buffer)


def text_of_input(content):
    (graph,) = read_metadata(content).items(3)
    return graph.items(2)[0].text(1)


def test_what_an_app_does_with_an_image_is_said(plain, content, tmp_path):
    assert "resize it to this size without keeping the aspect ratio" in text_of_input(content)
    write_assets(str(tmp_path), {"classes": CLASSES, features.CROP_FACT: True})
    cropped = text_of_input(add_metadata(plain[1], str(tmp_path)))
    assert "crop it to the largest centred window with the aspect ratio of this size" in cropped
    assert "without keeping" not in cropped


def test_the_metadata_follows_the_published_schema(content):
    metadata = read_metadata(content)
    assert metadata.text(7) == "1.0.0"
    (graph,) = metadata.items(3)
    (taken,), (given,) = graph.items(2), graph.items(3)
    assert (taken.text(0), given.text(0)) == ("pixels", "probabilities")
    content_of_input = taken.inner(3)
    assert content_of_input.number(0) == 2  # ImageProperties
    assert content_of_input.inner(1).number(0) == 1  # RGB
    size, wide = content_of_input.inner(1).inner(1), flatbuffers.number_types.Uint32Flags
    assert (size.number(0, wide), size.number(1, wide)) == (SIDE, SIDE)
    (unit,) = taken.items(4)
    assert (unit.number(0), unit.inner(1).floats(0), unit.inner(1).floats(1)) == (1, [0.0], [1.0])
    assert (taken.inner(5).floats(0), taken.inner(5).floats(1)) == ([255.0], [0.0])
    (labels,) = given.items(6)
    assert (labels.text(0), labels.number(2)) == (features.LABELS_ASSET, 2)  # TENSOR_AXIS_LABELS


def test_a_model_that_tensorflow_lite_has_no_operations_for_is_refused():
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
        def classify_pixels(self, pixels):
            return {"probabilities": tf.math.digamma(tf.reduce_mean(pixels, [1, 2]))}

    function = SimpleNamespace(concrete_functions=[Odd().classify_pixels.get_concrete_function()])
    with pytest.raises(InputError, match=r"exports: TensorFlow Lite cannot take this backbone: .*\nLeave `tflite` out"):
        convert(SimpleNamespace(classify_pixels=function))


def test_the_probe_does_not_answer_for_a_damaged_file(written, eval_records, tmp_path):
    (tmp_path / FILE).write_bytes(b"no model")
    request = {**request_for(written, eval_records), "file": str(tmp_path / FILE), **settings()}
    (tmp_path / "request.json").write_text(json.dumps(request))
    with pytest.raises(ValueError, match=r"[Mm]odel"):
        tflite_probe.main(str(tmp_path / "request.json"), str(tmp_path / "answer.json"))
    assert not (tmp_path / "answer.json").exists()


def test_a_real_export_passes_in_a_fresh_process(served, written, eval_records):
    probabilities = served.serve_bytes(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    digests = [hashlib.sha256(content).hexdigest() for content in eval_records.contents]
    asked = dict(list(zip(digests, probabilities, strict=True))[1::2])  # what the SavedModel's probe replayed
    reference = Reference(CLASSES, dict(list(asked.items())[:6]))
    measured, checks = check_form("tflite", request_for(written, eval_records), {}, reference, GATE)
    assert {check.name: check.verdict for check in checks} == {"tflite/parity": PASS, "tflite/labels": PASS}, checks
    assert measured["tflite_images"] == 6
    assert 0 < measured["tflite_max_difference"] < 1e-4
    assert measured["tflite_milliseconds"] > 0


def test_an_export_without_such_a_file_is_not_checked(tmp_path):
    assert find_forms(str(tmp_path)) == []


def request_for(model, eval_records):
    return {
        "model": str(model),
        "records": sorted(str(path) for path in eval_records.folder.iterdir()),
        "images": 6,
        "image_feature": features.IMAGE,
        "sha256_feature": features.SHA256,
        "known": [hashlib.sha256(content).hexdigest() for content in eval_records.contents],
    }
