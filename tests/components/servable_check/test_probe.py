"""The export in a fresh process."""

import ast
import functools
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.contract import features
from components.options.gates import ServabilityGateOptions
from components.servable_check import probe
from components.servable_check.executor import Executor, read_predictions
from components.servable_check.probe import read_records
from components.servable_check.probe_process import PROBE, run_probe
from tests.conftest import CLASSES, EVAL_COUNT, SIDE, artifact

pytestmark = pytest.mark.slow


def request_of(model, records, images=5, known=None):
    digests = [hashlib.sha256(content).hexdigest() for content in records.contents]
    return {
        "model": str(model),
        "records": [str(path) for path in sorted(records.folder.iterdir())],
        "images": images,
        "batch_size": 2,
        "image_feature": features.IMAGE,
        "sha256_feature": features.SHA256,
        "known": digests if known is None else [digests[row] for row in known],
    }


def test_the_probe_imports_nothing_of_ours():
    imported = set()
    for node in ast.walk(ast.parse(PROBE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"tensorflow"}


def test_images_that_training_answered_come_first(eval_records):
    import tensorflow as tf

    request = request_of("", eval_records, 3, known=[1, 4, 9, 12])
    images, examples, digests = read_records(tf, request)
    assert images == [eval_records.contents[row] for row in (1, 4, 9)]
    assert digests == request["known"][:3]
    assert examples == [eval_records.serialized[row] for row in (1, 4, 9)]
    more = read_records(tf, request | {"images": 6})
    every = read_records(tf, request | {"images": 64})
    assert more[2][:4] == every[2][:4] == request["known"]
    assert more[0][4:] == [eval_records.contents[row] for row in (0, 2)]
    assert sorted(every[0]) == sorted(eval_records.contents)
    assert read_records(tf, request | {"known": []})[1] == eval_records.serialized[:3]


def test_the_probe_answers_the_first_images_in_a_process_without_our_packages(
    trained, eval_records, monkeypatch, tmp_path
):
    (tmp_path / "tensorflow.py").write_text("raise RuntimeError('the wrong module')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer, failure = run_probe(request_of(trained.path, eval_records), 300)
    assert failure == ""
    assert answer["foreign_modules"] == []
    assert len(answer["answers"]) == 5
    assert {size: len(times) for size, times in answer["milliseconds"].items()} == {"1": 20, "2": 10}
    assert {name: row["outcome"] for name, row in answer["odd_inputs"].items()} == {
        "empty": "error",
        "text": "error",
        "one_pixel": "answered",
        "zeros_100mb": "error",
    }
    assert "nknown image file format" in answer["odd_inputs"]["text"]["message"]
    assert answer["mixed_batch"]["outcome"] == "error"
    assert answer["afterwards"]["outcome"] == "answered"
    assert "trying" not in answer
    assert answer["load_seconds"] > 0
    assert 50 < answer["peak_rss_mb"] < 20_000
    expected = read_predictions(str(trained.run))
    for row in answer["answers"]:
        np.testing.assert_allclose(row["probabilities"], expected[row["sha256"]], atol=1e-5)
        np.testing.assert_allclose(row["from_example"], row["probabilities"], atol=1e-6)
        assert row["label"] == CLASSES[int(np.argmax(row["probabilities"]))]


class Signatures:
    """Signatures of a model that keep what they were asked, in order; one that is named in `broken` raises an error."""

    def __init__(self, broken=()):
        self.asked, self.broken = [], broken
        self.signatures = {name: functools.partial(self.ask, name) for name in probe.SIGNATURES}
        for name, signature in self.signatures.items():
            signature.structured_input_signature = (), {name: None}

    def ask(self, name, **given):
        import tensorflow as tf

        (values,) = given.values()
        self.asked.append((name, values.numpy().tolist()))
        if name in self.broken or len(values) != len(set(values.numpy())):
            raise tf.errors.InvalidArgumentError(None, None, "no such image")
        count = len(values)
        return {"label": tf.constant([CLASSES[0]] * count), "probabilities": tf.constant([[0.9, 0.1]] * count)}


@pytest.fixture
def ask_here(monkeypatch, eval_records, tmp_path):
    """Call it with signatures: the probe asks them in this process about five images; gives the path of its answer."""
    import tensorflow as tf

    def ask(model):
        monkeypatch.setattr(probe, "load_bare_tensorflow", lambda: tf)
        monkeypatch.setattr(tf.saved_model, "load", lambda path: model)
        monkeypatch.setattr(probe, "ODD_INPUTS", {"empty": lambda tf: tf.constant(b""), "text": lambda tf: probe.TEXT})
        (tmp_path / "request.json").write_text(json.dumps(request_of("", eval_records)))
        probe.main(str(tmp_path / "request.json"), str(tmp_path / "answer.json"))

    return ask


def test_a_good_image_is_asked_about_first_then_the_odd_inputs_then_all_images(ask_here, eval_records, tmp_path):
    model = Signatures()
    ask_here(model)
    images, examples = eval_records.contents, eval_records.serialized
    assert sorted(model.asked[:2]) == [("serve_examples", examples[:1]), ("serving_default", images[:1])]
    assert model.asked[2:4] == [("serving_default", [b""]), ("serving_default", [probe.TEXT])]
    replayed = [values for name, values in model.asked[4:10] if name == "serving_default"]
    assert replayed == [images[:2], images[2:4], images[4:5]]
    assert len(json.loads((tmp_path / "answer.json").read_text())["answers"]) == 5


@pytest.mark.parametrize("name", probe.SIGNATURES)
def test_a_good_image_that_fails_is_not_blamed_on_an_odd_input(ask_here, tmp_path, name):
    model = Signatures(broken=[name])
    with pytest.raises(Exception, match="no such image"):
        ask_here(model)
    assert not (tmp_path / "answer.json").exists()


def test_an_answer_that_lacks_a_row_is_an_error():
    import tensorflow as tf

    def short(values):
        return {"label": tf.constant(["cats"]), "probabilities": tf.constant([[0.9, 0.1]])}

    records = [b"1", b"2"], [b"1", b"2"], ["one", "two"]
    with pytest.raises(ValueError, match="shorter"):
        probe.replay(tf, short, short, records, 2)


def test_signatures_get_ready_at_the_same_time():
    import tensorflow as tf

    together, found = threading.Barrier(2), []

    def ask(value):
        together.wait(30)
        found.append(value.numpy().tolist())

    probe.warm_up(tf, (ask, [b"image", b"another"]), (ask, [b"example", b"another"]))
    assert sorted(found) == [[b"example"], [b"image"]]
    probe.warm_up(tf, (ask, []), (ask, []))
    assert len(found) == 2


def test_calls_are_timed_as_often_as_asked_for_and_go_through_all_images():
    import tensorflow as tf

    asked = []

    def ask(values):
        asked.append(values.numpy().tolist())
        return {"probabilities": tf.constant([[1.0]])}

    assert len(probe.time_calls(tf, ask, [b"1", b"2", b"3"], 2, 3)) == 3
    assert asked == [[b"1", b"2"], [b"3", b"1"], [b"2", b"3"]]


def test_a_replay_that_fails_is_not_blamed_on_an_odd_input(trained, eval_records, tmp_path):
    answer, failure = run_probe(request_of(trained.path, eval_records) | {"records": [str(tmp_path / "gone")]}, 300)
    assert answer is None
    assert failure.startswith("the export does not work in a fresh process (exit code 1): ")
    assert "gone" in failure


def test_packages_that_a_server_does_not_have_are_hidden():
    script = (
        f"import runpy, sys; probe = runpy.run_path({str(PROBE)!r}); sys.meta_path.insert(0, probe['Hidden']())\n"
        "for name in ('tfx', 'components.contract.features', 'apache_beam'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{name} is hidden: a model server does not have it" for name in ("tfx", "components", "apache_beam")
    ]


def test_a_broken_export_is_a_reason_and_no_exception(trained, examples_artifact, tmp_path):
    broken = shutil.copytree(trained.path, tmp_path / "model" / "Format-Serving")
    (broken / "saved_model.pb").write_bytes(b"no model")
    blessing, verdict = execute(tmp_path, broken.parent, trained.run, examples_artifact)
    assert blessing.get_int_custom_property("blessed") == 0
    assert [(row["name"], row["verdict"]) for row in verdict["checks"]] == [("loads", "fail")]
    (failure,) = verdict["reasons"]
    assert failure.startswith("the export does not work in a fresh process (exit code 1): ")
    assert "saved_model.pb" in failure
    assert len(failure) < 400
    assert "\n" not in failure


def test_an_export_that_does_not_answer_in_time_is_a_reason(trained, eval_records):
    assert run_probe(request_of(trained.path, eval_records), 0) == (
        None,
        "the export did not answer within gates.servability.timeout_seconds (0 s)",
    )


def execute(tmp_path, model, run, examples):
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    Executor().Do(
        {
            "model": [artifact(standard_artifacts.Model, model)],
            "model_run": [artifact(standard_artifacts.ModelRun, run)],
            "examples": [examples],
        },
        {"blessing": [blessing]},
        {"gate": ServabilityGateOptions(images=EVAL_COUNT).to_json(), "override": ""},
    )
    return blessing, json.loads((tmp_path / "blessing" / features.VERDICT_FILE).read_text())


@pytest.mark.usefixtures("asked_here")
def test_an_export_that_serves_what_was_trained_is_blessed(tmp_path, trained, examples_artifact, said):
    blessing, verdict = execute(tmp_path, trained.model, trained.run, examples_artifact)
    assert blessing.get_int_custom_property("blessed") == 1
    assert (tmp_path / "blessing" / "INFRA_BLESSED").exists()
    assert verdict["passed"] is True
    assert verdict["measured"]["images"] == EVAL_COUNT
    assert verdict["measured"]["max_difference"] <= 1e-5
    assert said()[-1].startswith(f"{EVAL_COUNT} images")


@pytest.mark.usefixtures("asked_here")
def test_an_export_of_something_else_is_not_blessed(tmp_path, trained, stubborn_model, examples_artifact, said):
    blessing, verdict = execute(tmp_path, stubborn_model, trained.run, examples_artifact)
    assert blessing.get_int_custom_property("blessed") == 0
    assert (tmp_path / "blessing" / "INFRA_NOT_BLESSED").exists()
    assert not (tmp_path / "blessing" / "INFRA_BLESSED").exists()
    assert "differs from the training path" in verdict["reasons"][0]
    assert said()[-1].startswith("not servable: serving_default differs")


@pytest.mark.usefixtures("asked_here")
def test_an_export_whose_scaling_differs_from_training_is_refused(
    tmp_path, trained, transform, trunk, eval_records, examples_artifact, said
):
    """The same head on the same backbone, but pixels in 0..1 instead of -1..1: it loads, answers, and is wrong."""
    import tensorflow as tf

    from components.trainer.backbones.build import make_backbone
    from components.trainer.export.signatures import ServedModel
    from components.trainer.export.write import export_model
    from components.trainer.heads.head import Head

    exported = tf.saved_model.load(str(trained.path))
    head = Head(exported.kernel.numpy(), exported.bias.numpy())
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1")
    right = ServedModel(backbone, "avg", head, transform, CLASSES)
    found = right.serve_bytes(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES]
    digests = [hashlib.sha256(content).hexdigest() for content in eval_records.contents]
    expected = read_predictions(str(trained.run))
    np.testing.assert_allclose(found, [expected[digest] for digest in digests], atol=1e-5)
    broken = ServedModel(replace(backbone, scaling="0..1"), "avg", head, transform, CLASSES)
    export_model(broken, str(tmp_path / "broken" / "Format-Serving"), {"classes": CLASSES})
    blessing, verdict = execute(tmp_path, tmp_path / "broken", trained.run, examples_artifact)
    assert blessing.get_int_custom_property("blessed") == 0
    assert [row["name"] for row in verdict["checks"] if row["verdict"] == "fail"] == ["parity/training"]
    said_first = r"serving_default differs from the training path by (0\.\d+|1) in probability"
    assert re.match(said_first, verdict["reasons"][0])
    assert "gates.servability.max_difference is 0.0001" in verdict["reasons"][0]
    assert said()[-1].startswith("not servable: serving_default differs")


def test_predictions_are_read_as_they_were_written(trained, eval_records):
    predictions = read_predictions(str(trained.run))
    assert len(predictions) == EVAL_COUNT
    assert all(len(digest) == 64 for digest in predictions)
