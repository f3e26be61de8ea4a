"""The model's answers over batches of files that are read ahead."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from pipeline.predict import answers, reading
from pipeline.predict.answers import Model, Prediction, answer_batch, predict_files
from pipeline.predict.reading import Image, read_ahead
from tests import pictures
from tests.conftest import CLASSES

pytestmark = pytest.mark.usefixtures("loaded_once")


def test_answers_are_those_of_the_served_signature_in_the_order_of_the_files(pushed, eval_records, tmp_path):
    paths = [str(pictures.write(tmp_path / f"{i}.img", c)) for i, c in enumerate(eval_records.contents)]
    serve = tf.saved_model.load(str(next((pushed / "serving").glob("[0-9]*")))).signatures[features.SERVE_BYTES]
    expected = serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    found = list(predict_files(str(pushed), paths * 3, batch_size=7))
    assert [row.path for row in found] == paths * 3
    for row, probabilities in zip(found, np.tile(expected, (3, 1)), strict=True):
        assert list(row.probabilities) == CLASSES
        np.testing.assert_allclose(list(row.probabilities.values()), probabilities, atol=1e-5)
        assert row.label == CLASSES[int(probabilities.argmax())]
        assert row.probability == max(row.probabilities.values())


def test_a_bad_file_takes_no_other_down(pushed, photos):
    broken = pictures.write(photos / "checksum.png", pictures.break_checksum(pictures.encode(pictures.noise())))
    rows = list(predict_files(str(pushed), ["a.png", "text.txt", "gone.png", "cut.png", str(broken), "b.jpg"]))
    assert [bool(row.error) for row in rows] == [False, True, True, True, True, False]
    assert rows[1].error.startswith("not_an_image: starts with")
    assert rows[2].error == "unreadable: No such file or directory"
    assert rows[3].error.startswith("truncated: ")
    assert rows[1] == Prediction("text.txt", error=rows[1].error)


def test_what_only_tensorflow_refuses_fails_alone(pushed, photos):
    good = Image("a.png", (photos / "a.png").read_bytes())
    rows = answer_batch(answers.load_model(str(pushed)), [good, Image("odd", b"no image at all"), good])
    assert [row.label != "" for row in rows] == [True, False, True]
    assert rows[1].error.startswith("undecodable: ")
    assert rows[0].probabilities == pytest.approx(rows[2].probabilities)


def test_a_format_that_tensorflow_cannot_decode_is_converted_as_for_training(pushed, tmp_path):
    picture = pictures.noise(40, 30, 5)
    paths = [str(pictures.write(tmp_path / f"a.{form}", pictures.encode(picture, form))) for form in ("tiff", "png")]
    tiff, png = predict_files(str(pushed), paths)
    assert not tiff.error
    assert tiff.probabilities == pytest.approx(png.probabilities, abs=1e-6)


def test_so_many_files_are_read_ahead_and_no_more(monkeypatch):
    asked = []
    monkeypatch.setattr(reading, "read_image", lambda path, _: asked.append(path) or Image(path))
    with ThreadPoolExecutor(2) as pool:
        images = read_ahead(pool, (str(number) for number in range(100)), 5)
        assert [next(images).name for _ in range(3)] == ["0", "1", "2"]
        assert len(asked) <= 3 + 5
        assert [image.name for image in images] == [str(number) for number in range(3, 100)]


def test_a_model_that_cannot_explain_says_so(pushed, tmp_path, monkeypatch):
    loaded = answers.load_model(str(pushed))
    silent = Model(loaded.names, {features.SERVE_BYTES: loaded.signatures[features.SERVE_BYTES]})
    monkeypatch.setattr(answers, "load_model", lambda _: silent)
    with pytest.raises(InputError, match=r"no `explain` signature: its backbone gives vectors"):
        next(predict_files("model", ["a.png"], explain=tmp_path))
