"""What the model does not know, as the page says it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract import features
from components.report.sections import unknown
from tests.components.report.evaluated import HOSTILE

FACTS = {"max_refused": 0.05, "bank_images": 900, "calibrated_on": 40}


@pytest.fixture
def judged(finished):
    """A run whose model says what it knows; image 3 is refused, and is a mistake."""

    def call(labels=("cats", "dogs"), name="{}.png", known=None, **facts):
        actual = [0, 1] * 20
        predicted = [*actual[:3], 1 - actual[3], *actual[4:]]
        inputs = finished(list(labels), actual, predicted, name=name)
        path = f"{inputs.uris['evaluation']}/{features.OUTCOMES_FILE}"
        table = pq.read_table(path)
        order = np.argsort(np.argsort(table["name"].to_pylist()))
        outlier = np.where(order == order[3], 0.02, 0.1 + order / 50).astype(np.float32)
        columns = {"outlier": pa.array(outlier), "known": pa.array(outlier > 0.05 if known is None else [None] * 40)}
        for column, values in columns.items():
            field = f"candidate/{column}"
            table = table.drop([field]) if field in table.column_names else table
            table = table.append_column(field, values)
        pq.write_table(table, path)
        facts_path = f"{inputs.uris['model']}/Format-Serving/assets/{features.FACTS_ASSET}"
        with open(facts_path) as file:
            before = json.load(file)
        with open(facts_path, "w") as file:
            json.dump({**before, features.OUTLIERS_FACT: {**FACTS, **facts}}, file)
        return inputs

    return call


def test_refused_images_are_counted_against_the_promise_and_the_least_typical_are_shown(judged, shown):
    page = shown(unknown, judged())
    assert (page.facts["refused"], page.facts["images"]) == (1, 40)
    assert page.facts["cards"][0]["name"] == "eval-3.png"
    assert page.facts["cards"][0]["lines"] == ["dogs: answered cats", "2.0 % look less typical", "refused"]
    assert len(page.facts["cards"]) == len(page.pictures.thumbs) == unknown.SHOWN
    assert "<strong>1 of 40</strong> eval images, all of them good, are refused: 2.5 %" in page.html
    assert "Of them 0.0 % had the right label, of all others 100.0 %." in page.html


def test_a_promise_that_nothing_can_be_held_to_is_said(judged, shown):
    assert "19 eval images or more are needed" in shown(unknown, judged(calibrated_on=15)).html
    assert (
        "Nothing is refused, as <code>gates.quality.max_refused</code> is 0"
        in shown(unknown, judged(max_refused=0.0)).html
    )


def test_an_older_model_says_so(finished, judged, shown):
    assert unknown.gather(finished(["a", "b"], [0, 1], [0, 1]), None) == unknown.OLDER
    assert unknown.gather(judged(known="nothing"), None) == unknown.OLDER


def test_hostile_names_stay_text(judged, shown):
    page = shown(unknown, judged(labels=HOSTILE[:2], name="<img onerror=x>{}"))
    assert "<img" not in page.html.replace('<img src="data:', "")
    assert "&lt;img onerror=x&gt;eval-3" in page.html
