"""Features for the page: kept ones, a sample of them, or a few that the model computes again."""

import json

import numpy as np
import pytest

from components.contract import features
from components.contract.assets import read_facts
from components.report import known_features
from components.report.inputs import ReportInputs
from components.report.known_features import NOTHING, gather_features


def kept_of(count):
    return {f"train-{n}.png": np.full(4, n, np.float32) for n in range(count)}


def test_kept_features_are_read_for_every_image(finished):
    known = gather_features(
        finished(["a", "b"], [0], [0], kept=kept_of(5) | {"eval-0.png": np.full(4, 9.0)}, train=[0, 1, 0, 1, 0])
    )
    assert known.note == ""
    assert [(row.name, value) for row, value in zip(known.rows, known.values[:, 0], strict=True)] == [
        *((f"train-{n}.png", n) for n in range(5)),
        ("eval-0.png", 9),
    ]


def test_what_is_no_longer_kept_is_counted(finished):
    known = gather_features(finished(["a", "b"], [0], [0], kept=kept_of(3), train=[0, 1, 0, 1, 0]))
    assert [row.name for row in known.rows] == ["train-0.png", "train-1.png", "train-2.png"]
    assert len(known.values) == 3
    assert known.note == "3 of 6 images: the features of the others are no longer kept"


def test_no_more_are_held_than_fit_into_memory(finished, monkeypatch):
    inputs = finished(["a", "b"], [], [], kept=kept_of(20), train=[0, 1] * 10)
    monkeypatch.setattr(known_features, "FEATURE_BYTES", 4 * 4 * 6)
    known = gather_features(inputs)
    assert len(known.rows) == len(known.values) == 6
    assert known.note == "a random 6 of 20 images, as many as fit into memory"
    assert [int(row.name[6:-4]) for row in known.rows] == known.values[:, 0].astype(int).tolist()


def test_once_is_called_once_a_page():
    calls = []
    inputs = ReportInputs({})

    def make(found):
        calls.append(found)
        return len(calls)

    assert [inputs.once(make), inputs.once(make)] == [1, 1]
    assert calls == [inputs]


def test_without_features_and_without_a_model_there_is_a_sentence():
    known = gather_features(ReportInputs({}))
    assert (known.rows, known.note) == ([], NOTHING)


@pytest.fixture
def pruned(tmp_path, trained, examples_uri):
    """The inputs of a run with a real model whose features nobody kept; and the digests of its eval images."""
    stored = np.load(trained.run / features.PREDICTIONS_FILE)
    digests = [digest.decode() for digest in stored["sha256"]]
    rows = [{"name": f"{n}.img", "label": "dark", "split": "eval", "sha256": sha} for n, sha in enumerate(digests)]
    (tmp_path / features.MANIFEST_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    uris = {
        "manifest": str(tmp_path),
        "model": str(trained.model),
        "model_run": str(trained.run),
        "examples": str(examples_uri),
    }
    return ReportInputs(uris, str(tmp_path / "empty")), digests, str(trained.kept / "features")


def test_what_nobody_kept_the_model_computes_again(pruned, train_records):
    inputs, digests, store = pruned
    known = gather_features(inputs)
    assert [row.sha256 for row in known.rows] == digests
    assert known.values.shape == (len(digests), read_facts(inputs.model)["feature_width"])
    again, found = ReportInputs(inputs.uris, store).read_features(digests)
    assert found.all()
    np.testing.assert_allclose(known.values, again, atol=1e-3)
    assert known.note == ""


def test_of_many_images_a_few_are_computed_and_that_is_said(pruned, train_records, monkeypatch):
    inputs, digests, _ = pruned
    monkeypatch.setattr(known_features, "FEWEST", 4)
    monkeypatch.setattr(known_features, "MOST", 4)
    known = gather_features(inputs)
    assert len(known.rows) == len(known.values) == 4
    assert known.note.startswith(f"4 of {len(digests)} images, drawn at random")
