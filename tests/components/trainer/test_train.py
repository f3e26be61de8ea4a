"""The whole `run_fn` on real records: what it leaves, and that training and serving say the same."""

import dataclasses
import gc
import hashlib
import io
import json
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.options.trainer import AugmentOptions, FineTuneOptions
from components.trainer import train
from components.trainer.backbones import frozen
from components.trainer.backbones.frozen import Facts
from components.trainer.export import write
from components.trainer.features.store import FeatureStore
from components.trainer.heads.calibration import calibrate
from components.trainer.heads.epochs import HeadTraining
from components.trainer.heads.head import Head, train_head
from components.trainer.outliers import typicality
from components.trainer.outliers.typicality import measure_distances, unit_length
from components.trainer.prepare import prepare_training
from components.trainer.record import describe_model
from components.trainer.train import run_fn
from pipeline.beam import name_runner
from tests.conftest import CLASSES, EVAL_COUNT, SIDE, TRAIN_COUNT, WIDTH

pytestmark = pytest.mark.slow


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
    calibration = history["calibration"]
    assert calibration["temperature"] == read_facts(trained)[features.TEMPERATURE_FACT]
    assert (calibration["source"], calibration["images"], calibration["reason"]) == ("out_of_fold", TRAIN_COUNT, "")
    assert calibration["after"] <= calibration["before"]


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


@pytest.fixture(scope="module")
def again(trained, train_records, eval_records, transform_uri, tmp_path_factory):
    """Runs the session's training once more, with its store and options changed by name; gives what it left."""

    def call(hyperparameters=None, custom_config=None, **changes):
        folder, options = tmp_path_factory.mktemp("again"), trained.options.model_copy(update=changes)
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
                serving_model_dir=str(folder / "Format-Serving"),
                model_run_dir=str(folder / "run"),
                hyperparameters=hyperparameters,
            )
        )
        history = json.loads((folder / "run" / features.HISTORY_FILE).read_text())
        facts = json.loads((folder / "Format-Serving" / "assets" / features.FACTS_ASSET).read_text())
        return SimpleNamespace(folder=folder, history=history, facts=facts)

    return call


@pytest.fixture(scope="module")
def prepare(strategies, trained, train_records, eval_records, transform_uri):
    """Gathers what a run with these options changed would learn from."""

    def call(**changes):
        options = trained.options.model_copy(update=changes)
        given = (train_records.pattern, eval_records.pattern, transform_uri)
        return prepare_training(options, strategies["cpu"], given, str(trained.kept / "features")).inputs

    return call


def test_features_of_beams_workers_train_the_same_model(again, repeated, tmp_path):
    given = {"features_dir": str(tmp_path / "features"), "beam_args": name_runner([])}
    spread = again(custom_config=given, feature_pass="beam")
    assert spread.facts == repeated.facts
    assert spread.history["features_computed"] == 51
    assert len(list((tmp_path / "features").glob("*/*.parquet"))) == 1


def test_features_of_beams_workers_need_a_place(again):
    with pytest.raises(InputError, match=r"trainer\.feature_pass: beam: expected a folder of kept features"):
        again(custom_config={"features_dir": ""}, feature_pass="beam")


@pytest.fixture(scope="module")
def repeated(again):
    """The same run; its export is kept with the code's digest, which the session's training has not."""
    return again()


def test_the_same_run_again_sees_no_image_and_gives_the_same_head(repeated, trained):
    history = repeated.history
    assert (history["features_computed"], history["features_kept"]) == (0, TRAIN_COUNT + EVAL_COUNT)
    assert TRAIN_COUNT / 2 < history["learned"] < TRAIN_COUNT, "0.25 of them are held out"
    assert repeated.facts == read_facts(trained)


FOUND = {"learning_rate": 0.002, "dropout": 0.5, "epochs": 2, "l2": 0.01}


def forbidden(*arguments, **others):
    raise AssertionError("this run needs no network")


@pytest.fixture(scope="module")
def other_head(again, repeated):
    """A run with another head, of values that a search found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "build_from", forbidden)
        patch.setattr(write, "ServedModel", forbidden)
        return again(hyperparameters={"space": [], "values": {**FOUND, "tuner/epochs": 3}}, seed=5)


def test_another_head_needs_no_network_and_no_tracing(other_head, trained, eval_records):
    assert other_head.history["features_computed"] == 0
    assert other_head.facts["head_sha256"] != read_facts(trained)["head_sha256"]
    assert other_head.facts["backbone_sha256"] == read_facts(trained)["backbone_sha256"]
    with np.load(other_head.folder / "run" / features.PREDICTIONS_FILE) as stored:
        expected = dict(zip(stored["sha256"].tolist(), stored["probabilities"], strict=True))
    serve = tf.saved_model.load(str(other_head.folder / "Format-Serving")).signatures[features.SERVE_BYTES]
    served = serve(tf.constant(eval_records.contents))[features.OUTPUT_PROBABILITIES].numpy()
    for content, probabilities in zip(eval_records.contents, served, strict=True):
        wanted = expected[hashlib.sha256(content).hexdigest().encode()]
        np.testing.assert_allclose(probabilities, wanted, atol=1e-4)  # what the servability gate allows


def test_values_that_a_search_found_take_the_place_of_the_options(other_head, prepare, trained, strategies):
    assert other_head.facts["tuned"] == FOUND
    assert len(other_head.history["head"]["loss"]) == 2
    inputs, options = prepare(), trained.options.model_copy(update={**FOUND, "seed": 5, "tensorboard": False})
    head, _ = train_head(strategies["cpu"], inputs.values, inputs.learned, len(CLASSES), options, "")
    head, _ = calibrate(strategies["cpu"], head, inputs.values, inputs.learned, options)
    assert other_head.facts["head_sha256"] == head.digest()
    assert read_facts(trained)["tuned"] == {}


@pytest.fixture
def traced_in(monkeypatch):
    """The threads in which exports are traced, one after the other."""
    real, seen = write.ServedModel, []

    def model(*arguments):
        seen.append(threading.current_thread())
        return real(*arguments)

    monkeypatch.setattr(write, "ServedModel", model)
    return seen


def test_an_export_is_traced_once_beside_the_head_and_holds_the_head_that_was_trained(again, traced_in):
    run = again(custom_config={"source_fingerprint": "other code"}, epochs=2)
    (thread,) = traced_in
    assert thread is not threading.main_thread()
    model = tf.saved_model.load(str(run.folder / "Format-Serving"))
    content = model.kernel.numpy().tobytes() + model.bias.numpy().tobytes()
    assert hashlib.sha256(content).hexdigest() == run.facts["head_sha256"]
    again(custom_config={"source_fingerprint": "other code"}, epochs=1)
    assert len(traced_in) == 1, "the second run finds it kept"


FRESH = AugmentOptions(flip="horizontal", views=0)


@pytest.mark.parametrize("changes", [{"augment": FRESH}, {"devices": "cpu:2"}])
def test_nothing_is_traced_beside_what_is_busy_with_the_network_or_with_all_devices(again, traced_in, changes):
    again(custom_config={"source_fingerprint": str(changes)}, epochs=1, **changes)
    assert traced_in == [threading.main_thread()]


def test_an_error_of_the_thread_that_traces_is_that_of_the_run(again, monkeypatch):
    def fails(*arguments):
        raise ValueError("no such layer")

    monkeypatch.setattr(train, "keep_export", fails)
    with pytest.raises(ValueError, match="no such layer"):
        again(custom_config={"source_fingerprint": "code that fails"}, epochs=1)


@pytest.mark.parametrize("code", ["", "code that is traced beside the head"])
def test_the_graphs_of_an_export_make_room_before_it_is_proven(again, monkeypatch, code):
    found, export_model, open_export = [], write.export_model, train.open_export

    def count():  # a weak reference would be empty before the graph has gone
        found.append(sum(getattr(thing, "name", "") == "serve_bytes" for thing in map(of_graph, gc.get_objects())))

    def of_graph(thing):
        return thing if type(thing).__name__ == "FuncGraph" else None

    def traced(model, path, facts):
        export_model(model, path, facts)
        if threading.current_thread() is threading.main_thread():  # `get_objects` must not meet tuples in the making
            count()

    def opened(path):
        count()
        return open_export(path)

    monkeypatch.setattr(write, "export_model", traced)
    monkeypatch.setattr(train, "open_export", opened)
    gc.collect()
    count()
    again(custom_config={"source_fingerprint": code}, epochs=1)  # no kept export is used
    before, *traced_then, at_last = found
    assert len(traced_then) == (not code)
    assert all(before < then for then in traced_then)
    assert at_last <= before


def test_fixed_views_are_computed_once_and_change_the_head(again, prepare, trained):
    augment = AugmentOptions(flip="horizontal", views=2)
    run = again(augment=augment)
    assert (run.history["views"], run.history["features_computed"]) == (2, 2 * TRAIN_COUNT)
    assert run.facts["head_sha256"] != read_facts(trained)["head_sha256"]
    assert [int(view.kept.sum()) for view in prepare(augment=augment).views] == [TRAIN_COUNT, TRAIN_COUNT]


def test_fresh_views_cost_a_pass_an_epoch_and_are_not_kept(again, prepare, trained, said, monkeypatch):
    seen, augment = [], AugmentOptions(flip="horizontal", zoom=0.2, views=0)
    training = HeadTraining.__init__

    def spy(self, strategy, recipe, data, *rest):
        refresh = data.refresh
        data = dataclasses.replace(data, refresh=lambda epoch: seen.append(refresh(epoch)) or seen[-1].copy())
        training(self, strategy, recipe, data, *rest)

    monkeypatch.setattr(HeadTraining, "__init__", spy)
    run = again(augment=augment, epochs=2)
    assert (run.history["views"], run.history["features_computed"]) == (0, 0)
    assert f"0 features computed, {TRAIN_COUNT + EVAL_COUNT} from the store; 1 replica" in said()[-1]
    words = f"augmentation: {TRAIN_COUNT} images x fresh views in 2 epochs = {2 * TRAIN_COUNT} backbone passes"
    assert words in said()[-1]
    first, second = seen
    plain = prepare(augment=augment).values
    assert len({values.tobytes() for values in (plain.plain, first, second)}) == 3
    np.testing.assert_array_equal(plain.refresh(1), second)


def test_half_precision_passes_the_train_images_and_the_export_stays_exact(again, trained):
    run = again(precision="mixed_bfloat16", epochs=2)
    assert run.history["features_computed"] == TRAIN_COUNT  # the eval images were kept in float32
    assert 1e-5 < run.history["parity"] < 0.15
    assert run.facts["backbone_sha256"] == read_facts(trained)["backbone_sha256"]
    assert keras.config.dtype_policy().name == "float32"


def assert_told_by_own_features(path, train_records, eval_records):
    """The bank has the train images as this export sees them, and of its eval images the promised share is refused."""
    model = tf.saved_model.load(str(path))
    of_train, of_eval = (
        model.signatures[features.EMBED](tf.constant(records.contents))[features.OUTPUT_FEATURES].numpy()
        for records in (train_records, eval_records)
    )
    order = np.argsort([hashlib.sha256(content).hexdigest() for content in train_records.contents])
    np.testing.assert_allclose(model.outliers.bank, unit_length(of_train[order]), atol=1e-4)
    distances = measure_distances(of_eval, model.outliers.bank.numpy(), int(model.outliers.neighbours))
    np.testing.assert_allclose(model.outliers.scores, np.sort(distances)[::-1], atol=1e-4)


def test_the_export_tells_outliers_by_the_features_that_its_head_learned_from(trained, train_records, eval_records):
    assert_told_by_own_features(trained.path, train_records, eval_records)
    facts = read_facts(trained)[features.OUTLIERS_FACT]
    assert facts.pop("sha256")
    assert facts == {
        "bank_images": TRAIN_COUNT,
        "calibrated_on": EVAL_COUNT,
        "max_refused": 0.05,
        "neighbours": min(5, TRAIN_COUNT // 3),
    }


def test_of_many_eval_images_a_sample_is_passed_and_answered(again, trained, said, eval_records, monkeypatch):
    monkeypatch.setattr(typicality, "SAMPLE", 6)
    run = again(custom_config={"max_refused": 0.0}, epochs=2)
    first = sorted(hashlib.sha256(content).hexdigest() for content in eval_records.contents)[:6]
    with np.load(run.folder / "run" / features.PREDICTIONS_FILE) as stored:
        assert [digest.decode() for digest in stored["sha256"]] == first
    assert run.history["images"] == run.history["features_kept"] == TRAIN_COUNT + 6
    assert run.facts[features.OUTLIERS_FACT]["calibrated_on"] == 6
    assert said()[-1].endswith(" of a sample of 6")
    every = again(custom_config={"max_refused": 0.0, "exports": ["tflite-int8"]}, epochs=2)
    assert every.history["images"] == TRAIN_COUNT + EVAL_COUNT, "a form in whole numbers is held against each of them"


def test_the_features_of_an_example_are_those_of_its_bytes(trained, eval_records):
    signatures = tf.saved_model.load(str(trained.path)).signatures
    answers = signatures[features.SERVE_EXAMPLES](tf.constant(eval_records.serialized))
    embedded = signatures[features.EMBED](tf.constant(eval_records.contents))
    np.testing.assert_allclose(answers[features.OUTPUT_FEATURES], embedded[features.OUTPUT_FEATURES], atol=1e-5)
    assert features.OUTPUT_FEATURES not in signatures[features.SERVE_BYTES].structured_outputs


def test_the_promise_is_in_the_export_and_the_same_run_gives_the_same_bank(again, trained):
    run = again(custom_config={"max_refused": 0.2})
    model = tf.saved_model.load(str(run.folder / "Format-Serving"))
    assert model.outliers.max_refused.numpy() == np.float32(0.2)
    first = tf.saved_model.load(str(trained.path)).outliers
    for name in ("bank", "scores", "shares", "neighbours"):
        np.testing.assert_array_equal(getattr(model.outliers, name), getattr(first, name))


def test_a_second_stage_is_served_where_it_helps_and_recorded(again, trained, said, train_records, eval_records):
    tuning = FineTuneOptions(layers=3, learning_rate=1e-3, epochs=1, batch_size=12)
    run = again(fine_tune=tuning, epochs=1)  # a head that has much to learn yet
    stage = run.history["fine_tune"]
    assert len(stage["history"]["val_loss"]) == 1
    assert stage["kept"]
    assert stage["after"]["loss"] < stage["before"]["loss"]
    assert run.facts["backbone_sha256"] != read_facts(trained)["backbone_sha256"]
    assert run.history["parity"] < 2e-3
    assert "fine-tuning: held-out loss" in said()[-1]
    assert_told_by_own_features(run.folder / "Format-Serving", train_records, eval_records)


def test_pooling_a_hidden_layer_and_the_reading_of_images_are_served(again):
    reading = {"crop_to_aspect_ratio": True, "orientation": "ignore", "alpha": "black"}
    run = again(custom_config=reading, pooling="both", hidden_units=8, epochs=2)
    facts = run.facts
    assert run.history["features_computed"] == TRAIN_COUNT + EVAL_COUNT
    assert (facts["pooling"], facts["feature_width"], facts["hidden_units"]) == ("both", 2 * WIDTH, 8)
    assert (facts[features.CROP_FACT], facts["orientation"], facts["alpha"]) == (True, "ignore", "black")


def test_kept_features_of_another_image_fail_the_run(again, monkeypatch):
    def read(self, digests, width):
        return np.ones([len(digests), width], np.float32), np.ones(len(digests), bool)

    monkeypatch.setattr(FeatureStore, "read", read)
    with pytest.raises(RuntimeError, match="Kept features are not what the exported model computes"):
        again(epochs=1)


def test_checkpoints_are_gone_when_the_model_is_written(trained):
    assert not (trained.kept / "checkpoints").exists() or not list((trained.kept / "checkpoints").rglob("*.ckpt"))
