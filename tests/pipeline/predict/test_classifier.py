"""A model asked from Python: images in any form, and what is none."""

import io

import numpy as np
import pytest
from PIL import Image

from components.errors import InputError
from pipeline.predict.answers import predict_files
from pipeline.predict.classifier import Classifier, name_images
from tests import pictures
from tests.conftest import CLASSES, WIDTH, picture_of
from tests.pipeline.predict.conftest import load_once


@pytest.fixture
def model(pushed):
    folder = next((pushed / "serving").glob("[0-9]*"))
    return Classifier(folder, "", load_once(str(folder)))


def test_the_same_picture_gets_the_same_answer_in_every_form(model, photos):
    content = picture_of(0, 4)  # a PNG: no decoder's choice is in its pixels
    path = pictures.write(photos / "c.png", content)
    opened = Image.open(io.BytesIO(content))
    array = np.asarray(opened.convert("RGB"))
    forms = [
        path,
        str(path),
        content,
        bytearray(content),
        opened,
        array,
        np.dstack([array, np.full(array.shape[:2], 255, "u1")]),
    ]
    answers = model.predict(forms)
    assert [row.label for row in answers] == ["dark"] * len(forms)
    assert [row.probabilities for row in answers] == [answers[0].probabilities] * len(forms)
    assert answers[0].probability == pytest.approx(max(answers[0].probabilities.values()))
    assert [row.path for row in answers] == [str(path)] * 2 + [f"image {index}" for index in range(2, len(forms))]


def test_one_image_is_a_list_of_one_answer(model, photos):
    array = np.zeros([20, 30, 3], np.uint8)
    for image in ("a.png", array, array[..., 0], array[..., :1], Image.fromarray(array), picture_of(0, 1)):
        assert [row.label for row in model.predict(image)] == ["dark"]


def test_an_array_of_images_and_a_generator_are_several(model):
    batch = np.stack([np.zeros([20, 30, 3], np.uint8), np.full([20, 30, 3], 255, np.uint8)])
    assert [row.label for row in model.predict(batch)] == ["dark", "light"]
    assert [row.label for row in model.predict((image for image in batch), batch_size=1)] == ["dark", "light"]
    assert model.predict([]) == []


def test_folders_globs_and_bad_files_are_as_in_the_command(model, pushed, photos):
    answers = model.predict([photos, "*.jpg", "gone.png"])
    assert answers == list(
        predict_files(
            str(pushed), [str(photos / "a.png"), str(photos / "b.jpg"), str(photos / "cut.png"), "b.jpg", "gone.png"]
        )
    )
    assert [bool(row.error) for row in answers] == [False, False, True, False, True]


def test_an_orientation_tag_is_applied_as_in_a_file(model, photos):
    pixels = np.zeros([40, 20, 3], np.uint8)
    pixels[:20] = 255
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(pixels).save("turned.png", exif=tags.tobytes())
    of_file, of_picture, as_stored = model.predict(["turned.png", Image.open("turned.png"), pixels])
    assert of_picture.probabilities == of_file.probabilities
    assert as_stored.probabilities != of_file.probabilities


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_other_modes_are_answered(model, mode):
    assert [row.error for row in model.predict(Image.new(mode, (20, 20)))] == [""]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros([8, 8, 3]), r"got an array \[8, 8, 3\] of float64"),
        (np.zeros([8, 8, 2], np.uint8), r"got an array \[8, 8, 2\] of uint8"),
        (np.zeros([0, 8, 3], np.uint8), r"got an array \[0, 8, 3\]"),
        (Image.new("F", (8, 8)), "PIL's mode F"),
        ([3], "Image 0: expected paths, .*; got int"),
        (None, "got NoneType"),
        (["s3://bucket/a.png"], "on this machine, got s3://bucket/a.png"),
    ],
)
def test_what_is_no_image_is_refused_in_words(image, words):
    with pytest.raises(InputError, match=words):
        list(name_images(image))


def test_features_and_maps_have_a_row_an_image(model, photos):
    images = ["a.png", "b.jpg", np.zeros([20, 30, 3], np.uint8)]
    assert model.classes == CLASSES
    assert (model.embed(images, batch_size=2).shape, model.embed(images).dtype) == ((3, WIDTH), np.float32)
    maps = model.explain(images)
    assert maps.shape == (3, 2, 2)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_features_of_a_bad_image_are_refused_by_its_name(model, photos):
    with pytest.raises(InputError, match=r"^cut.png: truncated"):
        model.embed(["a.png", "cut.png"])
    with pytest.raises(InputError, match="Expected images, got none"):
        model.embed([])


def test_a_model_without_maps_says_so(model):
    vectors = Classifier(model.path, "", type(model.model)(model.classes, {}))
    with pytest.raises(InputError, match="has no signature `explain`"):
        vectors.explain("a.png")
