"""An anomaly in the data stops the run, with the reasons."""

import json

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils, standard_artifacts

from components import features
from components.data_gate import DataGate, DataVerdict, Executor, read_reasons
from components.errors import GateRefused
from components.options import DataGateOptions
from tests.conftest import artifact


def write_anomalies(folder, split, dataset="", **found):
    message = anomalies_pb2.Anomalies()
    for name, description in found.items():
        message.anomaly_info[name].description = description
    if dataset:
        message.dataset_anomaly_info.description = dataset
    place = folder / f"Split-{split}"
    place.mkdir(parents=True)
    (place / "SchemaDiff.pb").write_bytes(message.SerializeToString())
    return place


def execute(tmp_path, on_anomaly="stop"):
    anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
    anomalies.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    verdict = artifact(DataVerdict, tmp_path / "verdict")
    options = DataGateOptions(on_anomaly=on_anomaly).to_json()
    Executor().Do({"anomalies": [anomalies]}, {"verdict": [verdict]}, {"options": options})
    return json.loads((tmp_path / "verdict" / features.VERDICT_FILE).read_text())


def test_clean_data_passes(tmp_path, said):
    for split in features.SPLITS:
        write_anomalies(tmp_path / "anomalies", split)
    assert execute(tmp_path) == {"passed": True, "warnings": []}
    assert said() == ["no anomaly"]


def test_anomalies_of_every_split_stop_the_run(tmp_path):
    write_anomalies(tmp_path / "anomalies", "train", label="Unexpected string values", format="Too few")
    write_anomalies(tmp_path / "anomalies", "eval", dataset="Low num examples")
    with pytest.raises(
        GateRefused, match="The data gate said no: train split, format: Too few; train split, label:"
    ) as caught:
        execute(tmp_path)
    assert caught.value.gate == "data"
    assert caught.value.reasons == [
        "train split, format: Too few",
        "train split, label: Unexpected string values",
        "eval split: Low num examples",
    ]
    assert not (tmp_path / "verdict" / features.VERDICT_FILE).exists()


def test_anomalies_may_be_warnings(tmp_path, said):
    write_anomalies(tmp_path / "anomalies", "train", label="Unexpected")
    write_anomalies(tmp_path / "anomalies", "eval")
    assert execute(tmp_path, "warn") == {"passed": True, "warnings": ["train split, label: Unexpected"]}
    assert said() == ["1 warnings: train split, label: Unexpected"]


def test_a_split_without_anomaly_file_has_no_reasons(tmp_path):
    assert read_reasons(str(tmp_path), "train") == []


def test_the_node_hands_its_options_on():
    from tfx import types

    node = DataGate(types.Channel(type=standard_artifacts.ExampleAnomalies), options="{}", source_fingerprint="abc")
    assert node.exec_properties == {"options": "{}", "source_fingerprint": "abc"}
    assert node.outputs["verdict"].type is DataVerdict
