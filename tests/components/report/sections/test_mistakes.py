"""The mistakes that the model was surest of."""

import numpy as np

from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import mistakes
from tests.components.report.evaluated import HOSTILE, digest


def flipped(finished):
    """Two clear clusters; one eval image of cluster 1 has the label 0, and the model answers as the cluster says."""
    random = np.random.default_rng(0)
    train, actual = [0, 1] * 20, [0, 1] * 10
    predicted = actual.copy()
    actual[1] = 0  # a label error
    predicted[4] = 1  # a mistake of the model: its features are those of class 0
    shows = {f"train-{n}.png": train[n] for n in range(40)} | {f"eval-{n}.png": n % 2 for n in range(20)}
    kept = {name: random.normal(0, 0.3, 8) + 4 * np.eye(8)[kind] for name, kind in shows.items()}
    probability = [0.9] * 20
    probability[1] = 0.99
    return finished(["cats", "dogs"], actual, predicted, probability, kept=kept, train=train)


def test_the_surest_mistake_comes_first_with_its_activation_map(finished, shown):
    page = shown(mistakes, flipped(finished))
    assert [row["name"] for row in page.facts["cards"]] == ["eval-1.png", "eval-4.png"]
    assert list(page.pictures.maps) == [digest("eval-1.png"), digest("eval-4.png")]
    assert "2 of 20 eval images" in page.html
    assert 'alt="what spoke for dogs in eval-1.png"' in page.html
    assert "99.0 %" in page.html


def test_a_mistake_that_a_label_error_explains_is_marked(finished, shown):
    page = shown(mistakes, flipped(finished))
    assert [row["explained"] for row in page.facts["cards"]] == [True, False]
    assert page.html.count(">label likely wrong<") == 1
    assert '<a href="#label_errors">' in page.html


def test_label_errors_that_cannot_be_told_cost_no_mistake(finished, shown, monkeypatch):
    def fail(inputs):
        raise ValueError("not today")

    monkeypatch.setattr(mistakes, "judge_labels", fail)
    page = shown(mistakes, flipped(finished))
    assert page.facts["count"] == 2
    assert page.facts["explained"] == 0


def test_of_many_mistakes_some_have_pictures_more_have_names_and_the_rest_is_counted(finished, shown):
    page = shown(mistakes, finished(["a", "b"], [0] * 300, [1] * 300))
    assert len(page.pictures.maps) == mistakes.SHOWN
    assert len(page.facts["listed"]) == mistakes.LISTED
    assert f"{300 - mistakes.SHOWN - mistakes.LISTED} more mistakes are not on this page" in page.html


def test_hostile_names_stay_text(finished, shown):
    page = shown(mistakes, finished(HOSTILE, [0, 1, 2, 3, 4], [1, 2, 3, 4, 0], name="<img onerror=x>{}"))
    for name in (*HOSTILE[:2], "<img onerror"):
        assert name not in page.html
    assert page.html.count("&lt;img onerror=x&gt;eval-0") >= 2


def test_no_mistake_and_no_evaluation_are_said(finished, shown):
    assert (
        "Every one of 2 eval images got the right answer" in shown(mistakes, finished(["a", "b"], [0, 1], [0, 1])).html
    )
    assert "No model of this run was evaluated" in mistakes.gather(ReportInputs({}), Pictures())
