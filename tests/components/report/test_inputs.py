"""What the page is made of."""

import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components.contract import features
from components.contract.assets import read_labels
from components.evaluator.kept_features import FeatureKeeper, join_parts
from components.report.inputs import ReportInputs


def predictions(trained):
    stored = np.load(trained.run / features.PREDICTIONS_FILE)
    return [digest.decode() for digest in stored["sha256"]], stored["probabilities"]


def test_features_that_the_trainer_kept_are_found_without_its_network(trained):
    uris = {"model": str(trained.model), "model_run": str(trained.run)}
    inputs = ReportInputs(uris, str(trained.kept / "features"))
    digests, _ = predictions(trained)
    values, found = inputs.read_features([*digests, "0" * 64])
    assert found.tolist() == [True] * len(digests) + [False]
    assert values.shape == (len(digests) + 1, inputs.facts["feature_width"])
    assert np.ptp(values[:-1], axis=0).max() > 0
    assert not values[-1].any()
    assert inputs.labels == read_labels(trained.path)


def test_features_of_eval_images_are_those_that_the_evaluator_kept(trained, eval_records, tmp_path):
    digests = [hashlib.sha256(content).hexdigest() for content in eval_records.contents]
    uris = {"model": str(trained.model), "model_run": str(trained.run), "evaluation": str(tmp_path)}
    inputs = ReportInputs(uris, "")
    assert not inputs.read_features(digests)[1].any(), "an older Graft kept none there"
    width = inputs.facts["feature_width"]
    values = np.arange(len(digests) * width, dtype=np.float32).reshape(-1, width)
    FeatureKeeper(str(tmp_path)).keep(eval_records.serialized, values)
    join_parts(str(tmp_path))
    read, found = inputs.read_features(["0" * 64, *digests])
    assert found.tolist() == [False] + [True] * len(digests)
    np.testing.assert_array_equal(read[1:], values)


def test_where_nothing_was_kept_no_feature_is_found(trained, tmp_path):
    digests, _ = predictions(trained)
    for folder in ("", str(tmp_path)):
        inputs = ReportInputs({"model": str(trained.model), "model_run": str(trained.run)}, folder)
        assert not inputs.read_features(digests)[1].any()


def test_a_run_that_was_stopped_at_its_data_has_counts_ledger_and_verdict():
    row = {"name": "a.jpg", "label": "cats", "reason": "truncated", "detail": "ends early"}
    known = {
        features.DATASET_FILE: {"train": 3, "classes": ["cats", "dogs"]},
        features.LEDGER_FILE: json.dumps(row) + "\n",
        "gates": {"data": {"passed": False, "checks": [], "reasons": ["too much"]}},
    }
    inputs = ReportInputs({}, known=known)
    assert inputs.dataset["train"] == 3
    assert inputs.labels == ["cats", "dogs"]
    assert [(row.name, row.reason) for row in inputs.rows] == [("a.jpg", "truncated")]
    assert inputs.gates["data"]["reasons"] == ["too much"]
    assert (inputs.metrics, inputs.history, inputs.outcomes, inputs.model) == ({}, {}, None, "")
    assert not inputs.baseline.exists


def test_what_two_threads_ask_for_is_made_once():
    inputs, made, together = ReportInputs({}), [], threading.Barrier(2)

    def make(found):
        time.sleep(0.1)
        made.append(found)
        return len(made)

    def ask(_):
        together.wait(30)
        return inputs.once(make)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [1, 1]
    assert made == [inputs]
