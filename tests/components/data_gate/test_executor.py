"""DataGate over real statistics, and anomalies that TFX's ExampleValidator made of them."""

import json
from types import SimpleNamespace

import pytest
from tfx import types
from tfx.components.example_validator.executor import Executor as ExampleValidator
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.contract import features
from components.contract.artifacts import DataVerdict, Manifest
from components.contract.gates import Override
from components.data_gate.component import DataGate
from components.data_gate.executor import Executor
from components.errors import GateRefused
from components.options.data import DataOptions
from components.options.gates import DataGateOptions
from components.registry import versions
from tests.components.data_gate.frames import (
    changed,
    committed_schema,
    darkened,
    photographs,
    write_statistics,
)
from tests.conftest import artifact

TABLES = {"train": photographs(200, 1), "eval": photographs(100, 2)}
DATASET = {
    "per_class": {"train": {"cats": 100, "dogs": 100}, "eval": {"cats": 50, "dogs": 50}},
    "bad": {"cats": 0, "dogs": 0},
}


def make_inputs(folder, tables, dataset, ledger, rows, classes):
    """The four artifacts, as the nodes before leave them."""
    made = SimpleNamespace(
        statistics=artifact(standard_artifacts.ExampleStatistics, write_statistics(folder / "statistics", tables)),
        schema=artifact(standard_artifacts.Schema, folder / "schema"),
        anomalies=artifact(standard_artifacts.ExampleAnomalies, folder / "anomalies"),
        manifest=artifact(Manifest, folder / "manifest"),
    )
    made.statistics.split_names = artifact_utils.encode_split_names(list(tables))
    io_utils.write_pbtxt_file(str(folder / "schema" / "schema.pbtxt"), committed_schema(classes))
    (folder / "manifest").mkdir()
    (folder / "manifest" / features.DATASET_FILE).write_text(json.dumps(dataset))
    (folder / "manifest" / features.LEDGER_FILE).write_text("".join(json.dumps(row) + "\n" for row in ledger))
    (folder / "manifest" / features.MANIFEST_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = {name: [value] for name, value in vars(made).items()}
    ExampleValidator().Do(inputs, {"anomalies": inputs["anomalies"]}, {})
    return inputs


@pytest.fixture
def judge(tmp_path):
    """Runs the node over tables; gives the verdict."""

    def run(tables=TABLES, dataset=DATASET, ledger=(), rows=(), classes=None, version="none", override="", **options):
        inputs = make_inputs(tmp_path, tables, dataset, ledger, rows, classes)
        properties = {
            "options": DataGateOptions(**options).to_json(),
            "data": DataOptions(classes=classes).to_json(),
            "serving_dir": str(tmp_path / "serving"),
            "version": version,
            "override": override,
        }
        Executor().Do(inputs, {"verdict": [artifact(DataVerdict, tmp_path / "verdict")]}, properties)
        return json.loads((tmp_path / "verdict" / features.VERDICT_FILE).read_text())

    return run


def serve(tmp_path, tables, number=7):
    """A pushed version with these statistics."""
    version = tmp_path / "serving" / str(number)
    write_statistics(version / features.EXTRA_ASSETS / features.STATISTICS_ASSETS, tables)
    version.mkdir(parents=True, exist_ok=True)
    (version / versions.SAVED_MODEL_FILE).touch()


def test_clean_data_passes(judge, said):
    verdict = judge()
    assert (verdict["passed"], verdict["reasons"], verdict["warnings"], verdict["notes"]) == (True, [], [], [])
    assert set(verdict["measured"]) == {"skew"}
    assert set(verdict["measured"]["skew"]["train"][features.BRIGHTNESS]) == {"value", "limit"}
    assert said() == ["no anomaly"]


def test_a_share_of_eval_that_is_far_off_is_told_and_stops_nothing(judge, said):
    odd = [{"class": "cats", "share": 0.5, "limit": 0.3, "reason": "class 'cats': 50 % of 10 images"}]
    verdict = judge(dataset={**DATASET, "odd_shares": odd})
    assert (verdict["passed"], verdict["warnings"]) == (True, ["class 'cats': 50 % of 10 images"])
    assert said() == ["1 warning: class 'cats': 50 % of 10 images"]


def test_anomalies_of_every_split_stop_the_run(judge, tmp_path):
    tables = {"train": changed(TABLES["train"], channels=5), "eval": changed(TABLES["eval"], 0.1, format="webp")}
    with pytest.raises(GateRefused, match="The data gate said no: train split, image/channels: unexpectedly") as caught:
        judge(tables)
    assert caught.value.gate == "data"
    assert caught.value.reasons == [
        "train split, image/channels: unexpectedly large value: 5; allowed: 1 to 4",
        "eval split, image/format: examples contain values missing from the schema: webp (~10%); "
        "allowed: jpeg, png, gif, bmp",
    ]
    assert not (tmp_path / "verdict").exists()


def test_a_refusal_carries_every_check_with_measured_value_and_limit(judge):
    ledger = [{"name": "dogs/1.jpg", "label": "dogs", "reason": "empty", "detail": "0 bytes"}]
    with pytest.raises(GateRefused) as caught:
        judge(dataset={**DATASET, "bad": {"cats": 0, "dogs": 12}}, ledger=ledger)
    verdict = caught.value.verdict
    checks = {row["name"]: row for row in verdict["checks"]}
    assert checks["unusable/dogs"] == {
        "name": "unusable/dogs",
        "measured": 12 / 162,
        "limit": 0.01,
        "verdict": "fail",
        "reason": "class 'dogs': 12 of 162 images are unusable (7.4074 %); the limit is 1 % (data.max_bad_fraction)",
        "stops": True,
    }
    assert checks["anomalies/train"]["verdict"] == "pass"
    assert verdict["passed"] is False
    assert verdict["reasons"] == caught.value.reasons


def test_black_images_stop_here_too_and_are_named(judge, tmp_path):
    rows = [{"name": f"cats/{i}.png", "label": "cats", "flags": ["flat"]} for i in range(40)]
    rows += [{"name": "cats/copy.png", "label": "cats", "flags": ["flat"], "reason": "duplicate_of"}]
    with pytest.raises(GateRefused, match="images are black or white all over") as caught:
        judge(dataset={**DATASET, "flat": {"cats": 40}, "blank": {"cats": 40}}, rows=rows)
    assert "cats/0.png" in caught.value.reasons
    assert "cats/copy.png" not in caught.value.reasons


OVERRIDE = Override(("data",), "ann@lab", "2026-01-31T12:00:00Z", "the old camera is gone")


def test_an_override_lets_the_run_go_on_and_is_recorded_with_what_it_overrides(judge, said):
    verdict = judge({**TABLES, "train": changed(TABLES["train"], channels=5)}, override=OVERRIDE.to_json())
    assert verdict["passed"] is False
    assert verdict["override"] == {
        "gates": ["data"],
        "who": "ann@lab",
        "when": "2026-01-31T12:00:00Z",
        "reason": "the old camera is gone",
    }
    assert "unexpectedly large value: 5" in verdict["reasons"][0]
    assert said()[-1].startswith("overridden: train split, image/channels")


def test_an_override_that_is_not_needed_is_not_recorded(judge):
    verdict = judge(override=OVERRIDE.to_json())
    assert (verdict["passed"], verdict["override"]) == (True, None)


def test_anomalies_may_be_warnings(judge, said):
    verdict = judge({**TABLES, "eval": changed(TABLES["eval"], width=70_000)}, on_anomaly="warn")
    assert verdict["warnings"][0] == "eval split, image/width: unexpectedly large value: 70000; allowed: 1 to 65535"
    assert verdict["passed"]
    assert said() == [f"{len(verdict['warnings'])} warnings: {verdict['warnings'][0]}"]


def test_new_and_missing_labels_are_anomalies(judge):
    with pytest.raises(GateRefused) as caught:
        judge(classes=["cats", "birds"])
    assert caught.value.reasons == [
        "class 'birds' has no image; it is expected by data.classes",
        *(
            f"{split} split, image/class/text: examples contain values missing from the schema: dogs (~50%); "
            "allowed: birds, cats"
            for split in ("train", "eval")
        ),
    ]


def test_missing_labels_may_be_a_warning(judge, said):
    assert judge(classes=["cats", "dogs", "birds"], on_anomaly="warn")["warnings"] == [
        "class 'birds' has no image; it is expected by data.classes"
    ]
    assert said() == ["1 warning: class 'birds' has no image; it is expected by data.classes"]


def test_too_many_unusable_files_stop_the_run_whatever_the_options_say(judge):
    ledger = [{"name": f"dogs/{n}.jpg", "label": "dogs", "reason": "empty", "detail": "0 bytes"} for n in range(12)]
    with pytest.raises(GateRefused) as caught:
        judge(dataset={**DATASET, "bad": {"cats": 0, "dogs": 12}}, ledger=ledger, on_anomaly="warn")
    assert caught.value.reasons[1] == (
        "class 'dogs': 12 of 162 images are unusable (7.4074 %); the limit is 1 % (data.max_bad_fraction)"
    )
    assert caught.value.reasons[3:] == [f"dogs/{n}.jpg: empty (0 bytes)" for n in range(10)]


def test_unequal_classes_are_a_warning(judge, said):
    unequal = {**DATASET, "per_class": {**DATASET["per_class"], "train": {"cats": 999, "dogs": 10}}}
    verdict = judge(dataset=unequal)
    assert verdict["passed"]
    assert said()[0].startswith("1 warning: class 'cats' has 999 train images, class 'dogs' 10: ")


def test_every_reason_is_given_at_once(judge):
    with pytest.raises(GateRefused) as caught:
        judge(
            {**TABLES, "train": changed(darkened(TABLES["train"], 0.5), channels=5)},
            dataset={**DATASET, "bad": {"cats": 0, "dogs": 12}},
            classes=["cats", "dogs", "birds"],
            on_skew="stop",
        )
    text = "\n".join(caught.value.reasons)
    for part in ("data.max_bad_fraction", "'birds'", "unexpectedly large value: 5", "unlike the eval split"):
        assert part in text


def test_the_data_of_the_served_version_again_is_no_drift(judge, tmp_path, said):
    serve(tmp_path, {"train": photographs(300, 3), "eval": photographs(80, 4)})
    verdict = judge(version="7")
    assert verdict["warnings"] == []
    assert verdict["measured"]["version"] == 7
    assert set(verdict["measured"]["drift"]) == {"train", "eval"}
    assert said() == ["no anomaly, no drift against version 7"]


def test_drift_is_a_warning_with_measured_value_and_limit(judge, tmp_path):
    serve(tmp_path, TABLES)
    verdict = judge({split: darkened(table, 0.5) for split, table in TABLES.items()}, version="7")
    assert verdict["passed"]
    assert [line[: line.index(":")] for line in verdict["warnings"]] == [
        "eval split, image/brightness",
        "eval split, image/contrast",
        "train split, image/brightness",
        "train split, image/contrast",
    ]
    row = verdict["measured"]["drift"]["train"][features.BRIGHTNESS]
    assert row["value"] > row["limit"] == pytest.approx(0.2)
    assert f"divergence {row['value']:.3f}, limit 0.200)" in verdict["warnings"][2]
    assert "unlike that of version 7 (median 1" in verdict["warnings"][2]
    assert verdict["warnings"][2].endswith("; gates.data.on_drift decides")


def test_drift_may_stop_the_run(judge, tmp_path):
    serve(tmp_path, TABLES)
    with pytest.raises(GateRefused, match="eval split, image/format: unlike that of version 7"):
        judge(
            {split: changed(table, 0.5, format="png") for split, table in TABLES.items()}, version="7", on_drift="stop"
        )


def test_the_limit_of_drift_may_be_raised(judge, tmp_path):
    serve(tmp_path, TABLES)
    dark = {split: darkened(table, 0.5) for split, table in TABLES.items()}
    assert judge(dark, version="7", max_drift=0.9, on_drift="stop")["warnings"] == []


def test_skew_between_the_splits_is_a_warning_or_a_stop(judge, tmp_path):
    tables = {**TABLES, "train": darkened(TABLES["train"], 0.5)}
    with pytest.raises(GateRefused, match="train split, image/brightness: unlike the eval split") as caught:
        judge(tables, on_skew="stop")
    assert len(caught.value.reasons) == 2


def test_skew_is_a_warning_by_default(judge):
    verdict = judge({**TABLES, "train": darkened(TABLES["train"], 0.5)})
    assert len(verdict["warnings"]) == 2
    assert verdict["warnings"][0].endswith("; gates.data.on_skew decides")


def test_a_version_without_statistics_is_said_and_no_failure(judge, tmp_path, said):
    serve(tmp_path, {})
    verdict = judge(version="7", on_drift="stop")
    note = "version 7 holds no statistics of eval and train: no drift measured"
    assert (verdict["passed"], verdict["notes"]) == (True, [note])
    assert said() == [f"no anomaly; {note}"]


def test_a_split_without_served_statistics_is_said_and_the_other_compared(judge, tmp_path):
    serve(tmp_path, {"train": TABLES["train"]})
    verdict = judge(version="7")
    assert set(verdict["measured"]["drift"]) == {"train"}
    assert verdict["notes"] == ["version 7 holds no statistics of eval: no drift measured"]


def test_a_feature_without_served_statistics_is_said_and_the_others_compared(judge, tmp_path):
    serve(tmp_path, {split: table.drop(columns=features.BRIGHTNESS) for split, table in TABLES.items()})
    verdict = judge(version="7", on_drift="stop")
    assert features.WIDTH in verdict["measured"]["drift"]["train"]
    assert verdict["notes"] == [f"{split} split: no drift measured of image/brightness" for split in ("eval", "train")]


def test_the_version_being_served_is_found(judge, tmp_path):
    serve(tmp_path, TABLES, 5)
    serve(tmp_path, TABLES, 11)
    assert judge(version="served")["measured"]["version"] == 11


def test_before_the_first_push_there_is_nothing_to_compare_with(judge):
    assert "drift" not in judge(version="served")["measured"]


def test_the_node_hands_its_options_on():
    channels = {
        "anomalies": types.Channel(type=standard_artifacts.ExampleAnomalies),
        "statistics": types.Channel(type=standard_artifacts.ExampleStatistics),
        "schema": types.Channel(type=standard_artifacts.Schema),
        "manifest": types.Channel(type=Manifest),
    }
    properties = {
        "options": "{}",
        "data": "{}",
        "serving_dir": "/s",
        "version": "7",
        "override": "",
        "source_fingerprint": "abc",
    }
    node = DataGate(**channels, **properties)
    assert node.exec_properties == properties
    assert node.outputs["verdict"].type is DataVerdict
    with pytest.raises(ValueError, match="Missing argument 'version'"):
        DataGate(**channels, **{name: value for name, value in properties.items() if name != "version"})
