"""Example images of a version: from the data that it is made of, whatever else lies beside it, and bounded."""

import hashlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from components.contract import features
from pipeline.serve import examples
from pipeline.serve.examples import Example, find_examples
from tests import pictures
from tests.conftest import CLASSES, write_records

MANIFEST = b'{"name": "secret name.png"}\n'
DIGEST = hashlib.sha256(MANIFEST).hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A working directory with the artifacts of two runs; gives it and the images of the first."""
    node = tmp_path_factory.mktemp("examples") / "artifacts" / "ImageExampleGen"
    for number, content in ((1, MANIFEST), (4, b"of another run")):
        (node / "manifest" / str(number)).mkdir(parents=True)
        (node / "manifest" / str(number) / features.MANIFEST_FILE).write_bytes(content)
        records = write_records(node / "examples" / str(number) / "Split-eval", 9 * number, 100 * number)
        if number == 1:
            first = records
    return node.parents[1], first


def find(work, digest=DIGEST, classes=CLASSES):
    return find_examples(work / "serving", digest, classes)


def test_each_class_has_some_of_its_images_in_the_order_of_the_classes(made):
    work, records = made
    found = find(work)
    assert found.problem == ""
    expected = [records.contents[index] for label in range(3) for index in range(9) if records.labels[index] == label]
    assert [example.content for example in found.images] == expected
    assert [example.label for example in found.images] == [name for name in CLASSES for _ in range(3)]
    assert {example.form for example in found.images} <= set(features.FORMATS)


def test_never_more_of_a_class_than_there_is_room_for(made, monkeypatch):
    monkeypatch.setattr(examples, "MOST_IMAGES", 6)
    assert [example.label for example in find(made[0]).images] == [name for name in CLASSES for _ in range(2)]
    monkeypatch.setattr(examples, "LARGEST", 1)
    assert find(made[0]).problem == examples.GONE


def test_memory_is_bounded(made, monkeypatch):
    monkeypatch.setattr(examples, "MOST_BYTES", 10_000)
    found = find(made[0])
    assert 0 < sum(len(example.content) for example in found.images) <= 10_000


def test_a_class_that_the_version_does_not_have_is_left_out(made):
    assert {example.label for example in find(made[0], classes=CLASSES[1:]).images} == set(CLASSES[1:])


@pytest.mark.parametrize(("digest", "problem"), [(None, examples.UNKNOWN), ("0" * 64, examples.GONE)])
def test_without_the_data_of_the_version_there_are_none_and_why(made, digest, problem):
    assert find(made[0], digest) == examples.Examples(problem=problem)


def test_damaged_records_are_a_problem_in_words_without_a_path(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob("artifacts/ImageExampleGen/examples/1/Split-eval/*")
    file.write_bytes(file.read_bytes()[:-100])
    problem = find(tmp_path).problem
    assert problem.startswith("The examples cannot be read: ")
    assert str(tmp_path) not in problem


def test_a_thumbnail_is_small_and_stands_as_the_model_sees_the_picture():
    content = pictures.oriented(np.zeros([200, 400, 3], np.uint8), "jpeg", 6)
    example = Example("a", "jpeg", content)
    sizes = [Image.open(io.BytesIO(example.thumbnail(upright))).size for upright in (True, False)]
    assert sizes == [(80, 160), (160, 80)]
