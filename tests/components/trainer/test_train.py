"""The whole `run_fn` on real records: what it leaves, and that training and serving say the same."""

import hashlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.trainer.head import Head
from components.trainer.train import describe_model, describe_run
from tests.conftest import ALPHA, CLASSES, EVAL_COUNT, SIDE, TRAIN_COUNT


def read_facts(trained):
    return json.loads((trained.path / "assets" / features.FACTS_ASSET).read_text("utf-8"))


def test_the_export_says_what_it_is_made_of(trained):
    facts = read_facts(trained)
    assert facts["classes"] == CLASSES
    assert (facts["backbone"], facts["backbone_args"]) == ("MobileNetV2", ALPHA)
    assert facts["image_size"] == [SIDE, SIDE]
    assert facts["feature_map"] == [2, 2, 1280]
    assert facts["feature_width"] == 1280
    assert {len(facts[name]) for name in ("backbone_sha256", "head_sha256", "weights_sha256")} == {64}


def test_the_labels_stand_in_the_order_of_the_index(trained):
    assert (trained.path / "assets" / features.LABELS_ASSET).read_bytes() == "dark\nlight\nété\n".encode()


def test_the_run_is_recorded_with_its_rates_and_learning_curve(trained):
    history = json.loads((trained.run / features.HISTORY_FILE).read_text())
    assert history["replicas"] == 1
    assert history["images"] == TRAIN_COUNT + EVAL_COUNT
    assert history["images_per_second"] == pytest.approx(history["images"] / history["feature_seconds"], rel=0.02)
    curves = history["head"]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(curves)
    assert curves["loss"][-1] < 0.8 * curves["loss"][0]


def test_tensorboard_finds_the_learning_curve(trained):
    values = {}
    for path in (trained.run / "train").glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    history = json.loads((trained.run / features.HISTORY_FILE).read_text())["head"]
    assert values["epoch_loss"] == pytest.approx(history["loss"], rel=1e-5)


def test_predictions_of_the_training_path_are_those_of_the_export(trained, eval_records):
    with np.load(io.BytesIO((trained.run / features.PREDICTIONS_FILE).read_bytes())) as stored:
        rows = zip(stored["sha256"], stored["labels"], stored["probabilities"], strict=True)
        expected = {digest.decode(): (label, probabilities) for digest, label, probabilities in rows}
    serve = tf.saved_model.load(str(trained.path)).signatures[features.SERVE_BYTES]
    served = serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    assert len(expected) == EVAL_COUNT
    for content, label, probabilities in zip(eval_records.contents, eval_records.labels, served, strict=True):
        wanted = expected[hashlib.sha256(content).hexdigest()]
        assert wanted[0] == label
        np.testing.assert_allclose(probabilities, wanted[1], atol=1e-5)


class FourByFive:
    """As much of a backbone as `describe_model` reads."""

    output_shape = (None, 4, 5, 7)


def facts_of(trained, digest, kernel):
    head = Head(np.full([7, 2], kernel, np.float32), np.zeros(2, np.float32), {"loss": [1.0, 0.5]})
    return describe_model(trained.options, (128, 160), ["a", "b"], FourByFive(), digest, head), head


def test_the_weights_digest_follows_backbone_and_head(trained):
    first, _ = facts_of(trained, "a" * 64, 1.0)
    again, _ = facts_of(trained, "a" * 64, 1.0)
    other_backbone, _ = facts_of(trained, "b" * 64, 1.0)
    other_head, _ = facts_of(trained, "a" * 64, 1.1)
    assert first == again
    assert len({row["weights_sha256"] for row in (first, other_backbone, other_head)}) == 3


@pytest.mark.parametrize(("replicas", "shown"), [(1, False), (3, True)])
def test_the_closing_line_has_counts_rate_and_accuracy(trained, replicas, shown):
    facts, head = facts_of(trained, "a" * 64, 1.0)
    line = describe_run(facts, head, {"images": 12345, "images_per_second": 678.9, "replicas": replicas}, 0.9876)
    for part in ("12,345 images", "4x5x7", "679 images/s", "2 epochs", "0.988"):
        assert part in line
    assert ("3 replicas" in line) is shown
