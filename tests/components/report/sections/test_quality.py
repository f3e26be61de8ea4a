"""Quality: the matrix and its images, each class, and how far a probability can be trusted."""

import re

import numpy as np
import pytest

from components.contract.statistics import wilson_interval
from components.report.answers import read_answers
from components.report.confusion import CELL_PICTURES, MOST_CLASSES, MOST_IMAGES
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import quality
from tests.components.report.evaluated import HOSTILE, digest

CATS, DOGS, EELS = 0, 1, 2


def animals(finished):
    """Ten cats, of which two are taken for dogs; ten dogs; four eels, of which one is taken for a cat."""
    actual = [CATS] * 10 + [DOGS] * 10 + [EELS] * 4
    predicted = [CATS] * 8 + [DOGS] * 12 + [EELS] * 3 + [CATS]
    probability = [0.95] * 8 + [0.6, 0.8] + [0.95] * 13 + [0.99]
    return finished(["cats", "dogs", "eels"], actual, predicted, probability)


def test_a_cell_opens_its_images_the_surest_mistake_first(finished, shown):
    page = shown(quality, animals(finished))
    assert '<a href="#cell-0-1"' in page.html
    assert 'id="cell-0-1"' in page.html
    cell = next(cell for cell in page.facts["cells"] if (cell["actual"], cell["predicted"]) == (CATS, DOGS))
    assert [card["name"] for card in cell["cards"]] == ["eval-9.png", "eval-8.png"]
    assert [card["lines"] for card in cell["cards"]] == [["answered with 80.0\u00a0%"], ["answered with 60.0\u00a0%"]]
    assert digest("eval-9.png") in page.pictures.thumbs
    assert set(re.findall(r'href="#(cell-\d+-\d+)"', page.html)) == set(re.findall(r'id="(cell-\d+-\d+)"', page.html))


def test_the_matrix_counts_and_is_a_table_with_headers(finished, shown):
    page = shown(quality, animals(finished))
    assert [[cell["count"] for cell in row["cells"]] for row in page.facts["rows"]] == [
        [8, 2, 0],
        [0, 10, 0],
        [1, 0, 3],
    ]
    assert page.facts["pairs"][0] == {"actual": CATS, "predicted": DOGS, "count": 2, "share": 0.2}
    matrix = page.html[page.html.index('<table class="matrix"') :]
    matrix = matrix[: matrix.index("</table>")]
    assert matrix.count('scope="col"') == 5
    assert matrix.count('scope="row"') == 3
    assert "<caption>" in matrix


def test_classes_are_listed_worst_first_with_their_intervals(finished, shown):
    rows = shown(quality, animals(finished)).facts["classes"]
    assert [row["name"] for row in rows] == ["eels", "cats", "dogs"]
    assert rows[0]["recall_interval"] == pytest.approx(wilson_interval(3, 4, 0.95))
    assert rows[1]["precision"] == pytest.approx(8 / 9)
    assert [row["taken_for"] for row in rows] == [CATS, DOGS, None]


def test_thresholds_count_what_is_answered_and_what_of_that_is_right(finished, shown):
    page = shown(quality, animals(finished))
    found = {row["threshold"]: (row["answered"], row["right"]) for row in page.facts["thresholds"]}
    assert found[0.0] == (24, 21)
    assert found[0.7] == (23, 21)
    assert found[0.9] == (22, 21)
    assert found[0.98] == (1, 0)
    assert found[0.999] == (0, 0)
    answered, right = page.facts["slider"]
    for threshold, counts in found.items():  # the slider reads the same numbers
        assert (answered[round(threshold * quality.STEPS)], right[round(threshold * quality.STEPS)]) == counts


def test_precision_over_recall_moves_from_the_surest_answer_to_all(finished):
    answers = read_answers(animals(finished))
    found, exact = quality.precision_recall(answers)
    assert (found[0], exact[0]) == (0, 0)  # the surest one is wrong
    assert (found[-1], exact[-1]) == pytest.approx((21 / 24, 21 / 24))
    found, exact = quality.precision_recall(answers, DOGS)
    assert (found[0], exact[0]) == (1, 1)
    assert exact[-1] == pytest.approx(10 / 12)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.99, "promises too much"), (0.5, "promises too little"), (21 / 24, "as often as it says")],
)
def test_the_page_says_in_words_whether_probabilities_can_be_trusted(finished, shown, probability, words):
    actual, predicted = [0] * 24, [0] * 21 + [1] * 3
    assert words in shown(quality, finished(["a", "b"], actual, predicted, [probability] * 24)).html


def test_slices_are_listed_worst_first_and_small_ones_are_marked(finished, shown):
    page = shown(quality, animals(finished))
    assert [row["name"] for row in page.facts["slices"][0]["rows"]] == ["128 px and more", "under 128 px"]
    assert 'class="badge warn">few' in page.html[page.html.index('id="slices"') :]


def test_of_many_classes_the_matrix_has_those_with_most_mistakes_and_says_what_is_left_out(finished, shown):
    count = 300
    actual = np.repeat(np.arange(count), 3)
    predicted = actual.copy()
    predicted[:90:3] = (actual[:90:3] + 1) % count  # of the first thirty classes, one image each
    labels = [f"class {n}" for n in range(count)]
    page = shown(quality, finished(labels, actual.tolist(), predicted.tolist()))
    assert len(page.facts["rows"]) == MOST_CLASSES
    assert set(page.facts["shown"]) <= set(range(31))
    assert "25 of 300 classes with the most mistakes" in page.html
    assert page.facts["left_out"]["mistakes"] == 30 - sum(
        row["total"] - next(c["count"] for c in row["cells"] if c["predicted"] == row["actual"])
        for row in page.facts["rows"]
    )
    assert page.html.index("The most frequent mistakes") < page.html.index('class="matrix"')
    assert len(page.html) < 700_000
    assert len(page.pictures.thumbs) <= CELL_PICTURES


def test_cells_share_the_pictures_that_there_may_be(finished, shown):
    random = np.random.default_rng(0)
    actual, predicted = random.integers(0, 24, 9000), random.integers(0, 24, 9000)
    page = shown(quality, finished([str(n) for n in range(24)], actual.tolist(), predicted.tolist()))
    assert len(page.facts["cells"]) == 24 * 24
    assert len(page.pictures.thumbs) == 24 * 24  # one each
    assert "1 of them here" in page.html
    assert MOST_IMAGES > 1


def test_hostile_names_stay_text(finished, shown):
    actual = [0, 1, 2, 3, 4] * 3
    page = shown(quality, finished(HOSTILE, actual, [(n + 1) % 5 for n in actual], name="<b onclick=x>'\"{}"))
    for name in (*HOSTILE[:2], "<b onclick"):
        assert name not in page.html
    assert "&lt;img src=x onerror" in page.html
    assert "{{ 7 * 7 }}" in page.html
    assert HOSTILE[2] in page.html


def test_one_image_a_class_and_no_mistake(finished, shown):
    page = shown(quality, finished(["a", "b"], [0, 1], [0, 1], [1.0, 1.0]))
    assert "Every answer is right" in page.html
    assert page.facts["pairs"] == []
    assert page.html.count("badge warn") >= 2  # both classes are small


def test_a_class_without_an_eval_image_is_named(finished, shown):
    page = shown(quality, finished(["a", "b", "ghost"], [0, 1], [0, 1]))
    assert "not measured at all: ghost" in page.html
    assert [row["name"] for row in page.facts["classes"]] == ["a", "b"]


def test_without_an_evaluation_there_is_a_sentence():
    assert "No model of this run was evaluated" in quality.gather(ReportInputs({}), Pictures())
