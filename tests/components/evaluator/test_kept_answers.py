"""Kept answers of a pushed version: the same results as asking it, and never an answer that it would not give."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.contract import features
from components.contract.artifacts import Baseline
from components.evaluator import analysis, areas, batched_model, kept_answers
from components.evaluator.batched_model import AskedModel, closing_models, load_model, open_model
from components.evaluator.kept_answers import (
    PLACE,
    KeptAnswers,
    KnownAnswers,
    digest_images,
    digest_model,
    find_answers,
    keep_answers,
)
from components.evaluator.measure import read_outcomes
from components.files.digests import digest_files
from tests.components.evaluator import test_executor
from tests.components.evaluator.toys import save_model, write_examples

ASKER = "TensorFlow 2.x, a machine, CPU"
LIKE_ANY = {"on_chance": "push", "min_accuracy": 0.0}


def evaluate(out, *given, **gate):
    """Runs the Evaluator into a new folder."""
    out.mkdir()
    return test_executor.evaluate(out, *given, **gate)


def seal_version(version):
    """Writes the passport of a version, with the digest of every file."""
    files = digest_files(str(version))
    files.pop("passport.json", None)
    (version / "passport.json").write_text(json.dumps({"files": files}))


def make_version(folder, model, evaluation=None):
    """What BaselineModel has of a version: its model, its passport and, of an evaluation, its answers."""
    version = Path(shutil.copytree(model / "Format-Serving", folder / "Format-Serving"))
    if evaluation is not None:
        (version / PLACE).parent.mkdir(exist_ok=True)
        shutil.copy2(evaluation / features.ANSWERS_FILE, version / PLACE)
    seal_version(version)
    return folder


@pytest.fixture
def asked(monkeypatch):
    """Records how many examples each model was asked about: {folder of its artifact: numbers}."""
    numbers: dict[str, list[int]] = {}

    def load(path):
        model = load_model(path)
        given = numbers.setdefault(Path(os.path.realpath(path)).parent.name, [])
        return AskedModel(lambda records: given.append(len(records)) or model.ask(records), model.close, model.outputs)

    monkeypatch.setattr(batched_model, "load_model", load)
    return numbers


def read_all(folder):
    """Everything that an evaluation left, but for what names the folders of models."""
    tables = (features.OUTCOMES_FILE, features.ANSWERS_FILE, features.FEATURES_FILE)
    found = {name: pq.read_table(folder / name) for name in tables if (folder / name).exists()}
    found[features.OUTCOMES_FILE] = read_outcomes(str(folder / features.OUTCOMES_FILE))
    if features.FEATURES_FILE in found:
        found[features.FEATURES_FILE] = found[features.FEATURES_FILE].sort_by("sha256")
    names = [path.name for path in folder.iterdir() if path.name not in (*tables, "eval_config.json")]
    return found | {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
def test_a_run_with_kept_answers_leaves_what_one_that_asks_leaves(
    tmp_path, asked, trained, stubborn_model, examples_artifact
):
    evaluate(tmp_path / "first", examples_artifact, trained.model, None, **LIKE_ANY)
    evaluation = tmp_path / "first" / "evaluation"
    models = {
        "asks": make_version(tmp_path / "asked", trained.model),
        "knows": make_version(tmp_path / "known", trained.model, evaluation),
    }
    for name, model in models.items():
        evaluate(tmp_path / name, examples_artifact, stubborn_model, model, **LIKE_ANY)
    assert "known" not in asked
    assert sum(asked["asked"]) == 16  # one to see whether it works
    first, *both = (read_all(tmp_path / name / "evaluation") for name in ("first", "asks", "knows"))
    assert both[0].keys() == both[1].keys() > {"metrics.json", "verdict.json", "images.parquet", "answers.parquet"}
    for name, content in both[0].items():
        assert both[1][name] == content, name
    for column in ("predicted", "probability", "true_probability", "outlier", "known"):
        was, now = first["images.parquet"][f"candidate/{column}"], both[1]["images.parquet"][f"baseline/{column}"]
        assert was == now


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Examples, 60 and then 70; a version with its answers about the 60; another model."""
    folder = tmp_path_factory.mktemp("toys")
    examples = [write_examples(folder / f"{count}", count) for count in (60, 70)]
    refused, candidate = (range(0, 60, 30), Path(save_model(folder / "candidate", range(9)).uri))
    model = Path(save_model(folder / "model", [*range(3), 65], refused=refused, temperature=2.0).uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_answers, "describe_asker", lambda: ASKER)
        evaluate(folder / "first", examples[0], model, None, max_refused=0.5)
    return examples, make_version(folder / "version", model, folder / "first" / "evaluation"), candidate


@pytest.fixture
def same_asker(monkeypatch):
    monkeypatch.setattr(kept_answers, "describe_asker", lambda: ASKER)


@pytest.fixture
def version(toys, tmp_path):
    """A copy of the version, to be changed."""
    return Path(shutil.copytree(toys[1], tmp_path / "version", dirs_exist_ok=True)) / "Format-Serving"


@pytest.mark.slow
def test_a_version_is_asked_about_new_images_alone(tmp_path, asked, toys, same_asker):
    (_, examples), version, candidate = toys
    metrics, _, _ = evaluate(tmp_path / "knows", examples, candidate, version)
    assert asked == {
        "candidate": [1, *[4] * 17, 2],
        "version": [1, 4, 4, 2],
    }  # the first: one that the graph is rewritten for
    assert round(metrics["baseline"]["accuracy"] * 70) == 66
    without = make_version(tmp_path / "without", version)
    shutil.rmtree(without / "Format-Serving" / "assets.extra")
    seal_version(without / "Format-Serving")
    evaluate(tmp_path / "asks", examples, candidate, without)
    assert sum(asked["without"]) == 71
    assert read_all(tmp_path / "knows" / "evaluation") == read_all(tmp_path / "asks" / "evaluation")


@pytest.mark.slow
def test_the_best_version_is_not_asked_again_either(tmp_path, asked, toys, same_asker):
    (examples, _), version, candidate = toys
    recorded = (Baseline(5, True, "", 0.9, 60), Baseline(3, True, "", 0.99, 60))
    shutil.copytree(version, tmp_path / "best")
    metrics, verdict, _ = evaluate(tmp_path / "out", examples, candidate, candidate, tmp_path / "best", recorded)
    assert asked.keys() == {"candidate"}
    assert round(metrics["best"]["accuracy"] * 60) == 57
    (decay,) = (row for row in verdict["checks"] if row["name"] == "decay")
    assert decay["measured"] == pytest.approx(6 / 60)


def change_model(version):
    path = version / "assets" / features.FACTS_ASSET
    path.write_text(path.read_text().replace('"temperature": 2.0', '"temperature": 3.0'))
    seal_version(version)


def change_weights(version):
    (version / "variables" / "variables.index").write_bytes(b"others")
    seal_version(version)


def add_file(version):
    (version / "assets" / "vocabulary.txt").write_text("new")
    seal_version(version)


def swap_answers(version):
    """Makes every answer the opposite, without a word in the passport."""
    table = pq.read_table(version / PLACE)
    swapped = [np.frombuffer(row, np.float32)[::-1].tobytes() for row in table["probabilities"].to_pylist()]
    changed = table.set_column(1, table.schema.field("probabilities"), pa.array(swapped, pa.binary(8)))
    pq.write_table(changed, version / PLACE)


def forget_file(version):
    passport = json.loads((version / "passport.json").read_text())
    del passport["files"][PLACE]
    (version / "passport.json").write_text(json.dumps(passport))


def write_foreign(content):
    def call(version):
        pq.write_table(content, version / PLACE)
        seal_version(version)

    return call


REASONS = {
    "another model's facts": (change_model, "another model gave them"),
    "another model's weights": (change_weights, "another model gave them"),
    "a further file of the model": (add_file, "another model gave them"),
    "edited answers": (swap_answers, "its sha256 is not that of the passport"),
    "a passport that does not know them": (forget_file, "its sha256 is not that of the passport"),
    "no passport": (lambda version: (version / "passport.json").unlink(), "its sha256 is not that of the passport"),
    "no digests": (lambda v: (v / "passport.json").write_text("{}"), "its sha256 is not that of the passport"),
    "a file of others": (write_foreign(pa.table({"image": [b""]})), "another Graft wrote it: "),
    "other columns": (
        write_foreign(
            pa.table({"image": [b""]}).replace_schema_metadata({kept_answers.ORIGIN: '{"model": "", "asker": ""}'})
        ),
        "another Graft wrote it: ",
    ),
    "another origin": (
        write_foreign(pa.table({"image": [b""]}).replace_schema_metadata({kept_answers.ORIGIN: '{"by": "me"}'})),
        "another Graft wrote it: ",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_answers_that_may_be_others_are_not_used(version, same_asker, caplog, name):
    assert find_answers(str(version), 2).load() is not None
    change, reason = REASONS[name]
    change(version)
    with caplog.at_level(logging.WARNING, logger="graft.run"):
        assert find_answers(str(version), 2) is None
    assert f"{PLACE} is not used, the version is asked again: {reason}" in caplog.text


def test_answers_of_another_tensorflow_or_machine_are_not_used(version, caplog):
    with caplog.at_level(logging.WARNING, logger="graft.run"):
        assert find_answers(str(version), 2) is None
    assert f"expected answers given by {kept_answers.describe_asker()}, found {ASKER}" in caplog.text


def test_the_asker_names_what_may_change_an_answer(monkeypatch):
    before = kept_answers.describe_asker()
    assert before.startswith(f"TensorFlow {tf.__version__}, ")
    assert before.endswith(", CPU")
    monkeypatch.setattr(tf, "__version__", "9.9.9")
    assert kept_answers.describe_asker().startswith("TensorFlow 9.9.9, ")
    monkeypatch.setattr(kept_answers.platform, "machine", lambda: "abacus")
    assert ", abacus, " in kept_answers.describe_asker()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert kept_answers.describe_asker().endswith(", GPU")


def test_answers_about_other_classes_are_not_used(version, same_asker, caplog):
    with caplog.at_level(logging.WARNING, logger="graft.run"):
        assert find_answers(str(version), 3) is None
    assert "expected probabilities of 3 classes, found 8 bytes an image" in caplog.text


def test_a_version_without_the_file_is_asked_without_a_word(version, caplog):
    (version / PLACE).unlink()
    assert find_answers(str(version), 2) is None
    assert not caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("change", [change_model, swap_answers])
def test_a_version_whose_answers_are_not_used_is_asked(tmp_path, asked, toys, version, same_asker, change):
    (examples, _), _, candidate = toys
    change(version)
    metrics, _, _ = evaluate(tmp_path / "out", examples, candidate, version.parent)
    assert round(metrics["baseline"]["accuracy"] * 60) == 57  # 3 if the swapped answers were taken
    assert sum(asked["version"]) == 61


def test_a_worker_of_another_kind_or_with_another_file_asks_the_model(version, same_asker, monkeypatch):
    found = find_answers(str(version), 2)
    assert len(found.load().images) == 60
    assert KeptAnswers(found.path, "0" * 64).load() is None
    monkeypatch.setattr(kept_answers, "describe_asker", lambda: "another")
    assert found.load() is None
    seen = []
    monkeypatch.setattr(analysis, "open_model", lambda path: seen.append(path) or AskedModel(ask, None, ()))
    asking = analysis.AskModels({"candidate": "a", "baseline": "b"}, {}, (4, [], 2), None, {"baseline": found})
    asking.setup()
    assert asking._answer("baseline", [b"x", b"y"], [b"0" * 32, b"1" * 32])["probabilities"].tolist() == [[1], [1]]
    assert seen == ["b"]


def ask(records):
    return {"probabilities": np.array([[len(record)] for record in records], np.float32)}


def test_what_stands_beside_a_model_is_not_of_it(version):
    before = digest_model(str(version))
    (version / "passport.json").write_text("{}")
    (version / features.CARD_FILE).write_text("# A card")
    (version / "assets.extra" / "model.tflite").write_bytes(b"lite")
    assert digest_model(str(version)) == before
    (version / "assets.extra.txt").touch()
    assert digest_model(str(version)) != before


def example_of(image, **texts):
    made = tf.train.Example()
    for name, value in {features.IMAGE: image, **texts}.items():
        made.features.feature[name].bytes_list.value.append(value)
    return made.SerializeToString()


def test_an_image_is_known_by_the_bytes_that_the_model_is_given():
    """A file that is converted on the way, by other options than before, keeps its own digest."""
    source = {features.SHA256: b"a" * 64}
    digests = digest_images([example_of(b"one", **source), example_of(b"two", **source), example_of(b"one")])
    assert digests[0] == digests[2] == hashlib.sha256(b"one").digest() != digests[1]


@pytest.mark.slow
def test_an_export_reads_nothing_of_a_record_but_its_image(trained, eval_records):
    alone = [example_of(content) for content in eval_records.contents]
    with closing_models():
        model = open_model(str(trained.path))
        whole, bare = model.answer(eval_records.serialized, 15), model.answer(alone, 15)
    assert whole.keys() == {"probabilities", "outlier", "known", "features"}
    for name, values in whole.items():
        pictured = [place for place, row in enumerate(eval_records.serialized) if encoded(row) == encoded(alone[place])]
        assert len(pictured) > 5  # those that were not converted
        np.testing.assert_array_equal(values[pictured], bare[name][pictured])


def encoded(record):
    return tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]


def digest_of_number(number):
    return hashlib.sha256(bytes([number])).digest()


def test_answers_come_in_the_order_of_the_images_and_only_unknown_ones_are_asked_for():
    numbers = sorted(range(5), key=digest_of_number)
    images = np.array([digest_of_number(number) for number in numbers], "S32")
    known = KnownAnswers(images, {"probabilities": np.array([[number] for number in numbers], np.float32)})
    rows = []

    def answer(unknown):
        rows.extend(unknown.tolist())
        return {"probabilities": np.full([len(unknown), 1], -1, np.float32), "features": np.zeros([len(unknown), 9])}

    found = known.answer([digest_of_number(number) for number in (3, 9, 0, 3, 8, 4)], answer)
    assert {name: values.ravel().tolist() for name, values in found.items()} == {"probabilities": [3, -1, 0, 3, -1, 4]}
    assert rows == [1, 4]
    known.answer([digest_of_number(2)], answer)
    assert rows == [1, 4]


def write_wide(folder, probabilities, askers=(ASKER,), outlier=0.5, numbers=None):
    """The files of all probabilities, of 2 classes, as the Evaluator has them while it runs."""
    fields = [*areas.make_wide_schema(["candidate"], 2), *kept_answers.list_fields("candidate")]
    count = len(probabilities)
    rows = {
        "candidate/probabilities": [np.array(row, np.float32).tobytes() for row in probabilities],
        "image": [digest_of_number(number) for number in (numbers or range(count))],
        "asker": [askers[number % len(askers)] for number in range(count)],
        "candidate/outlier": [outlier] * count,
        "candidate/known": [None if outlier is None else True] * count,
    }
    half = count // 2
    for name, part in (("0", slice(0, half)), ("1", slice(half, count))):
        table = pa.table({key: column[part] for key, column in rows.items()}, pa.schema(fields))
        pq.write_table(table, folder / f"probabilities-{name}.parquet")


def keep(folder, count, classes=2):
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").touch()
    return keep_answers(str(folder), str(folder / "model"), "candidate", count, classes)


def test_a_file_has_each_image_once_by_digest(tmp_path):
    write_wide(tmp_path, [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]], numbers=[7, 5, 6, 7])
    assert keep(tmp_path, 4)
    table = pq.read_table(tmp_path / features.ANSWERS_FILE)
    assert table.column_names == ["image", "probabilities", "outlier", "known"]
    assert table["image"].to_pylist() == sorted(digest_of_number(number) for number in (5, 6, 7))
    found = dict(zip(table["image"].to_pylist(), table["probabilities"].to_pylist(), strict=True))
    assert found[digest_of_number(5)] == np.array([0.2, 0.8], np.float32).tobytes()
    assert json.loads(table.schema.metadata[kept_answers.ORIGIN]) == {
        "model": digest_model(str(tmp_path / "model")),
        "asker": ASKER,
    }


def test_a_model_that_tells_no_outliers_has_none_in_its_file(tmp_path, monkeypatch):
    write_wide(tmp_path, [[0.1, 0.9], [0.2, 0.8]], outlier=None)
    assert keep(tmp_path, 2)
    table = pq.read_table(tmp_path / features.ANSWERS_FILE)
    assert table.column_names == ["image", "probabilities"]
    path = tmp_path / features.ANSWERS_FILE
    monkeypatch.setattr(kept_answers, "describe_asker", lambda: ASKER)
    known = KeptAnswers(str(path), hashlib.sha256(path.read_bytes()).hexdigest()).load()
    assert known.answers.keys() == {"probabilities"}


@pytest.mark.parametrize(
    ("rows", "askers"), [([[0.1, 0.9], [np.nan, 0.8]], [ASKER]), ([[0.1, 0.9], [0.2, 0.8]], [ASKER, "another"])]
)
def test_answers_that_are_no_numbers_or_of_several_kinds_are_not_kept(tmp_path, rows, askers):
    write_wide(tmp_path, rows, askers)
    assert not keep(tmp_path, 2)
    assert not (tmp_path / features.ANSWERS_FILE).exists()


@pytest.mark.parametrize(("images", "kept"), [(2, True), (3, False)])
def test_a_file_has_a_largest_size(tmp_path, monkeypatch, images, kept):
    monkeypatch.setattr(kept_answers, "LARGEST", 16)
    write_wide(tmp_path, [[0.1, 0.9]] * images)
    assert keep(tmp_path, images) == kept
    assert (tmp_path / features.ANSWERS_FILE).exists() == kept
