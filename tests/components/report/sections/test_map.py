"""The map of the data: who lies beside whom, what is marked, and the same in words."""

import json
import re

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from components.report.ahead import make_numbers
from components.report.inputs import ReportInputs
from components.report.pictures import SIDE, Pictures
from components.report.projection import FEWEST, Projection, find_neighbours, project
from components.report.sections import label_errors
from components.report.sections import map as section
from tests.components.report.evaluated import HOSTILE, digest


def clusters(finished, labels=("cats", "dogs", "eels"), count=60, **options):
    """A cluster a class; the first eval image is a mistake, the last train image is far from all."""
    random, classes = np.random.default_rng(0), len(labels)
    train, actual = [n % classes for n in range(count)], [n % classes for n in range(classes * 2)]
    predicted = actual.copy()
    predicted[0] = 1
    name = options.pop("name", "{}.png")
    kinds = [(f"train-{n}", kind) for n, kind in enumerate(train)] + [
        (f"eval-{n}", kind) for n, kind in enumerate(actual)
    ]
    kept = {name.format(image): random.normal(0, 0.3, 8) + 4 * np.eye(8)[kind % 8] for image, kind in kinds}
    kept[name.format(f"train-{count - 1}")] += 30
    return finished(list(labels), actual, predicted, kept=kept, train=train, name=name, **options)


def test_dots_of_a_class_lie_together(finished, shown):
    dots = shown(section, clusters(finished)).facts["dots"]
    places = np.array([(dot["x"], dot["y"]) for dot in dots])
    marks = np.array([dot["mark"] for dot in dots])
    assert places.min() >= section.MARGIN
    assert (places.max(axis=0) <= np.array(section.SIZE) - section.MARGIN).all()
    inside = np.mean(
        [marks[np.argsort(np.hypot(*(places - place).T))[1]] == mark for place, mark in zip(places, marks, strict=True)]
    )
    assert inside > 0.9


def test_mistakes_and_outliers_are_marked_and_the_far_image_has_a_card(finished, shown):
    page = shown(section, clusters(finished))
    assert [dot["words"][1] for dot in page.facts["dots"] if dot["wrong"]] == ["eval-0.png"]
    assert page.facts["outliers"][0]["name"] == "train-59.png"
    drawing = page.html[page.html.index('<svg id="map-dots"') : page.html.index('<div class="legend">')]
    assert drawing.count('class="ring"') == 1
    assert drawing.count('class="far"') == len(page.facts["outliers"]) == 3


def test_each_dot_has_its_words_without_a_script_and_a_picture_with_one(finished, shown):
    page = shown(section, clusters(finished))
    assert "<title>cats\neval-0.png\neval side\nanswered dogs with 90.0\u00a0%</title>" in page.html
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', page.html, re.DOTALL)[1])
    assert len(data) == len(page.facts["dots"]) == 66
    assert all(url.startswith("data:image/webp") for url in data)
    assert page.pictures.thumbs[digest("train-0.png")] == section.SIDE


def test_what_is_wanted_before_is_what_the_section_asks_for(finished):
    inputs, before, then = clusters(finished), Pictures(), Pictures()
    section.want(inputs, before)
    section.gather(inputs, then)
    assert list(before.thumbs.items()) == list(then.thumbs.items())
    assert {section.SIDE, SIDE} == set(before.thumbs.values())
    section.want(ReportInputs({}), before)  # no image, and nothing is wanted


def test_what_was_made_ahead_is_not_made_again(finished, monkeypatch):
    inputs = clusters(finished)
    make_numbers(inputs)
    for room, name in ((section, "project"), (Projection, "places"), (label_errors, "find_label_errors")):
        monkeypatch.setattr(room, name, None)
    assert len(section.gather(inputs, Pictures())["dots"]) == 66
    assert label_errors.gather(inputs, Pictures())["judged"] == 66


def test_a_class_with_foreign_neighbours_is_told_in_words(finished, shown):
    random = np.random.default_rng(0)
    train = [0] * 20 + [1] * 5
    kept = {f"train-{n}.png": random.normal(0, 1, 8) for n in range(25)}  # five dogs among the cats
    kept |= {f"eval-{n}.png": random.normal(0, 1, 8) for n in range(2)}
    page = shown(section, finished(["cats", "dogs"], [0, 0], [0, 0], kept=kept, train=train))
    first = page.facts["neighbours"][0]
    assert (first["name"], first["other"]) == ("dogs", "cats")
    assert first["share"] > 0.5


def test_of_many_images_mistakes_are_on_the_map_and_the_sample_is_said(finished, shown, monkeypatch):
    monkeypatch.setattr(section, "DOTS", 20)
    page = shown(section, clusters(finished))
    assert len(page.facts["dots"]) == 20
    assert any(dot["wrong"] for dot in page.facts["dots"])
    assert "It shows 20 of 66 images: every mistake, the others drawn at random." in page.html


def test_of_many_classes_some_are_coloured_and_all_can_be_chosen(finished, shown):
    labels = [f"class {n}" for n in range(30)]
    page = shown(section, clusters(finished, labels))
    assert {dot["mark"] for dot in page.facts["dots"]} == set(range(section.MARKED + 1))
    assert page.facts["classes"][0]["name"] == "class 0"  # that with the mistake
    assert page.html.count("<option ") == 31
    assert "22 other classes" in page.html
    assert "the 25 most mixed of 30 classes" in page.html


def test_hostile_names_stay_text(finished, shown):
    page = shown(section, clusters(finished, HOSTILE, name="</title><script>{}"))
    for name in (*HOSTILE[:2], "</title><script>"):
        assert name not in page.html
    assert HOSTILE[2] in page.html


def test_too_few_images_no_features_and_no_run_are_said(finished, tmp_path):
    few = finished(["a", "b"], [0, 1], [0, 1], kept={"eval-0.png": [0.0, 1.0], "eval-1.png": [1.0, 0.0]})
    assert f"A map needs {FEWEST} images" in section.gather(few, Pictures())
    nothing = finished(["a", "b"], [0, 1], [0, 1])
    assert "No features of the images are at hand" in section.gather(nothing, Pictures())
    assert "No features of the images are at hand" in section.gather(ReportInputs({}), Pictures())


def test_images_whose_features_are_not_finite_are_left_out(finished, shown):
    kept = {f"train-{n}.png": np.random.default_rng(n).normal(0, 1, 4) for n in range(12)}
    kept["train-3.png"] = np.array([np.nan, 0, 0, 0])
    inputs = finished(["a", "b"], [0, 1], [0, 1], kept=kept, train=[0, 1] * 6)
    names = [dot["words"][1] for dot in shown(section, inputs).facts["dots"]]
    assert "train-3.png" not in names
    assert len(names) == 11


@pytest.mark.parametrize("count", [FEWEST, 20])
def test_a_projection_is_finite_and_the_same_every_time(count):
    values = np.random.default_rng(0).normal(0, 1, [count, 3]).astype(np.float32)
    values[1] = values[0]  # a copy
    first, again = project(values), project(values)
    assert np.isfinite(first.places).all()
    assert (first.places.min(), first.places.max()) == (0, 1)
    assert np.array_equal(first.places, again.places)
    assert first.nearest[0] == 1


def test_images_that_are_alike_lie_side_by_side():
    random = np.random.default_rng(0)
    kind = np.repeat(np.arange(10), 30)
    values = random.normal(0, 3, [10, 60])[kind] + random.normal(0, 1, [300, 60])
    places = project(values.astype(np.float32)).places
    nearest, _ = find_neighbours(places)
    assert (kind[nearest] == kind).mean() > 0.98
    assert trustworthiness(values, places, n_neighbors=5) > 0.9


def test_same_features_give_no_map():
    assert project(np.ones([30, 4], np.float32)) is None
    assert project(np.ones([FEWEST - 1, 4], np.float32)) is None


def test_the_farthest_image_is_the_most_remote():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, [30, 4]), [[50.0, 0, 0, 0]]])
    nearest, remoteness = find_neighbours(values)
    assert remoteness.argmax() == 30
    assert remoteness[30] > 10 * np.median(remoteness)
    assert (nearest != np.arange(31)).all()
