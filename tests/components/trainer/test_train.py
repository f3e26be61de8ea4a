"""The whole `run_fn` on real records: what it leaves, and that training and serving say the same."""

import functools
import hashlib
import io
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.options.trainer import AugmentOptions, FineTuneOptions
from components.trainer.backbones import frozen
from components.trainer.backbones.frozen import Facts
from components.trainer.export import write
from components.trainer.features.store import FeatureStore
from components.trainer.heads.head import Head
from components.trainer.train import describe_model, run_fn
from tests.conftest import CLASSES, EVAL_COUNT, SIDE, TRAIN_COUNT, WIDTH


def read_facts(trained):
    return json.loads((trained.path / "assets" / features.FACTS_ASSET).read_text("utf-8"))


def test_the_export_says_what_it_is_made_of(trained, trunk):
    facts = read_facts(trained)
    assert facts["classes"] == CLASSES
    assert (facts["backbone"], facts["backbone_args"]) == (trunk, {})
    assert facts["image_size"] == [SIDE, SIDE]
    assert facts[features.CROP_FACT] is False
    assert (facts["orientation"], facts["alpha"]) == ("apply", "white")
    assert facts["feature_map"] == [2, 2, WIDTH]
    assert facts["feature_width"] == WIDTH
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


def facts_of(trained, digest, kernel, shape=(4, 5, 7)):
    head = Head(np.full([7, 2], kernel, np.float32), np.zeros(2, np.float32), {"loss": [1.0, 0.5]})
    return describe_model(trained.options, (128, 160), ["a", "b"], Facts("-1..1", digest, shape), head)


def test_the_weights_digest_follows_backbone_and_head(trained):
    first, again = facts_of(trained, "a" * 64, 1.0), facts_of(trained, "a" * 64, 1.0)
    other_backbone, other_head = facts_of(trained, "b" * 64, 1.0), facts_of(trained, "a" * 64, 1.1)
    assert first == again
    assert len({row["weights_sha256"] for row in (first, other_backbone, other_head)}) == 3


def test_a_backbone_of_vectors_has_no_pooling(trained):
    assert facts_of(trained, "a" * 64, 1.0)["pooling"] == "avg"
    assert facts_of(trained, "a" * 64, 1.0, (7,))["pooling"] is None


def run_again(
    trained, train_records, eval_records, transform_uri, tmp_path, hyperparameters=None, custom_config=None, **changes
):
    options = trained.options.model_copy(update=changes)
    run_fn(
        SimpleNamespace(
            custom_config={
                "options": options.to_json(),
                "features_dir": str(trained.kept / "features"),
                "source_fingerprint": "of the tests",
                **(custom_config or {}),
            },
            transform_output=transform_uri,
            train_files=train_records.pattern,
            eval_files=eval_records.pattern,
            serving_model_dir=str(tmp_path / "Format-Serving"),
            model_run_dir=str(tmp_path / "run"),
            hyperparameters=hyperparameters,
        )
    )
    history = json.loads((tmp_path / "run" / features.HISTORY_FILE).read_text())
    return history, json.loads((tmp_path / "Format-Serving" / "assets" / features.FACTS_ASSET).read_text())


@pytest.fixture
def again(trained, train_records, eval_records, transform_uri, tmp_path):
    return functools.partial(run_again, trained, train_records, eval_records, transform_uri, tmp_path)


def test_the_same_run_again_sees_no_image_and_gives_the_same_head(again, trained, said):
    history, facts = again()
    assert (history["features_computed"], history["features_kept"]) == (0, TRAIN_COUNT + EVAL_COUNT)
    assert facts == read_facts(trained)
    assert f"0 features computed, {TRAIN_COUNT + EVAL_COUNT} from the store; 1 replica" in said()[-1]


def test_the_export_says_how_images_are_read(again):
    _, facts = again(custom_config={"crop_to_aspect_ratio": True, "orientation": "ignore", "alpha": "black"})
    assert facts[features.CROP_FACT] is True
    assert (facts["orientation"], facts["alpha"]) == ("ignore", "black")


def forbidden(*arguments, **others):
    raise AssertionError("this run needs no network")


@pytest.mark.parametrize("changes", [{"learning_rate": 0.002}, {"dropout": 0.5, "epochs": 2}, {"l2": 0.01, "seed": 5}])
def test_another_head_needs_no_network_and_no_tracing(again, trained, eval_records, tmp_path, monkeypatch, changes):
    again()  # the export is kept with the code's digest, which the session's training has not
    monkeypatch.setattr(frozen, "build_from", forbidden)
    monkeypatch.setattr(write, "ServedModel", forbidden)
    history, facts = again(**changes)
    assert history["features_computed"] == 0
    assert facts["head_sha256"] != read_facts(trained)["head_sha256"]
    assert facts["backbone_sha256"] == read_facts(trained)["backbone_sha256"]
    with np.load(tmp_path / "run" / features.PREDICTIONS_FILE) as stored:
        expected = dict(zip(stored["sha256"].tolist(), stored["probabilities"], strict=True))
    serve = tf.saved_model.load(str(tmp_path / "Format-Serving")).signatures[features.SERVE_BYTES]
    served = serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    for content, probabilities in zip(eval_records.contents, served, strict=True):
        wanted = expected[hashlib.sha256(content).hexdigest().encode()]
        np.testing.assert_allclose(probabilities, wanted, atol=1e-4)  # what the servability gate allows


def test_values_that_a_search_found_take_the_place_of_the_options(again, trained):
    found = {"learning_rate": 0.002, "dropout": 0.5, "tuner/epochs": 3}
    history, facts = again(hyperparameters={"space": [], "values": found}, epochs=2)
    assert facts["tuned"] == {"learning_rate": 0.002, "dropout": 0.5}
    assert facts["head_sha256"] == again(learning_rate=0.002, dropout=0.5, epochs=2)[1]["head_sha256"]
    assert len(history["head"]["loss"]) == 2
    assert read_facts(trained)["tuned"] == {}


def test_fixed_views_are_computed_once_and_change_the_head(again, trained, tmp_path):
    history, facts = again(augment=AugmentOptions(flip="horizontal", views=2))
    assert (history["views"], history["features_computed"]) == (2, 2 * TRAIN_COUNT)
    assert facts["head_sha256"] != read_facts(trained)["head_sha256"]
    assert again(augment=AugmentOptions(flip="horizontal", views=2))[0]["features_computed"] == 0


def test_fresh_views_cost_a_pass_an_epoch_and_are_not_kept(again, trained, said):
    history, facts = again(augment=AugmentOptions(flip="horizontal", zoom=0.2, views=0), epochs=3)
    assert (history["views"], history["features_computed"]) == (0, 0)
    assert facts["head_sha256"] != read_facts(trained)["head_sha256"]
    words = f"augmentation: {TRAIN_COUNT} images x fresh views in 3 epochs = {3 * TRAIN_COUNT} backbone passes"
    assert words in said()[-1]
    assert again(augment=AugmentOptions(flip="horizontal", zoom=0.2, views=0), epochs=3)[1] == facts


def test_half_precision_passes_the_train_images_and_the_export_stays_exact(again, trained):
    history, facts = again(precision="mixed_bfloat16")
    assert history["features_computed"] == TRAIN_COUNT  # the eval images were kept in float32
    assert 1e-5 < history["parity"] < 0.15
    assert facts["backbone_sha256"] == read_facts(trained)["backbone_sha256"]
    assert keras.config.dtype_policy().name == "float32"


def test_a_second_stage_is_served_where_it_helps_and_recorded(again, trained, said):
    tuning = FineTuneOptions(layers=6, learning_rate=1e-3, epochs=2, batch_size=12)
    history, facts = again(fine_tune=tuning, epochs=2)
    stage = history["fine_tune"]
    assert len(stage["history"]["val_loss"]) == 2
    assert stage["kept"] == (stage["after"]["loss"] < stage["before"]["loss"])
    assert stage["kept"] == (facts["backbone_sha256"] != read_facts(trained)["backbone_sha256"])
    assert history["parity"] < 2e-3
    assert "fine-tuning: held-out loss" in said()[-1]


def test_pooling_and_a_hidden_layer_are_served(again):
    history, facts = again(pooling="both", hidden_units=8, epochs=3)
    assert history["features_computed"] == TRAIN_COUNT + EVAL_COUNT
    assert (facts["pooling"], facts["feature_width"], facts["hidden_units"]) == ("both", 2 * WIDTH, 8)


def test_kept_features_of_another_image_fail_the_run(again, trained, monkeypatch):
    def read(self, digests, width):
        return np.ones([len(digests), width], np.float32), np.ones(len(digests), bool)

    monkeypatch.setattr(FeatureStore, "read", read)
    with pytest.raises(RuntimeError, match="Kept features are not what the exported model computes"):
        again()


def test_checkpoints_are_gone_when_the_model_is_written(trained):
    assert not (trained.kept / "checkpoints").exists() or not list((trained.kept / "checkpoints").rglob("*.ckpt"))
