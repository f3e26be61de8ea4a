"""The one definition of the pipeline."""

import json

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tfx.dsl.compiler import compiler

from components.contract import features
from components.contract.gates import Override
from pipeline.beam import NO_IMAGE, name_runner
from pipeline.config.configuration import Config, Plan
from pipeline.dag import create_pipeline, statistics_options
from pipeline.fingerprint import NODE_MODULES

PASSPORT = {"Pusher", "Report"}  # the nodes that are given where a model comes from
SOURCES = {node: f"digest of {node}" for node in NODE_MODULES}


def make(tmp_path, sources=SOURCES, baseline="none", best="none", override=None, **sections):
    config = Config.model_validate(sections)
    facts = {"baseline": baseline, "best": best, "override": override}
    return create_pipeline(Plan(config, tmp_path, "/photos", "f" * 64, sources, {"tfx": "1"}, **facts))


def nodes_of(pipeline):
    return {node.id: node for node in pipeline.components}


def properties_of(pipeline):
    """Execution properties by node id, as the cache key sees them."""
    return {
        name: json.dumps(node.exec_properties, sort_keys=True, default=str) for name, node in nodes_of(pipeline).items()
    }


def changed(before, after):
    return {name for name, value in properties_of(before).items() if properties_of(after)[name] != value}


def test_the_table_of_sources_names_the_nodes_of_the_pipeline(tmp_path):
    assert set(nodes_of(make(tmp_path, tuner={"enabled": True}))) == set(NODE_MODULES)


def test_a_search_stands_between_transform_and_trainer_where_it_is_asked_for(tmp_path):
    plain, searched = nodes_of(make(tmp_path)), nodes_of(make(tmp_path, tuner={"enabled": True}))
    assert set(searched) - set(plain) == {"Tuner"}
    assert set(plain["Trainer"].inputs) == set(searched["Trainer"].inputs) - {"hyperparameters"}
    assert {node.id for node in searched["Tuner"].upstream_nodes} == {"ImageExampleGen", "ImportSchemaGen", "Transform"}
    assert searched["Trainer"].inputs["hyperparameters"] is searched["Tuner"].outputs["best_hyperparameters"]
    assert list(searched).index("Transform") < list(searched).index("Tuner") < list(searched).index("Trainer")


@pytest.mark.parametrize("tuner", [{"trials": 3}, {"seed": 3}, {"space": {"dropout": [0.1, 0.2]}}])
def test_an_option_of_the_search_runs_it_again_and_makes_another_model(tmp_path, tuner):
    before, after = make(tmp_path, tuner={"enabled": True}), make(tmp_path, tuner={"enabled": True, **tuner})
    assert changed(before, after) == {"Tuner", *PASSPORT}
    edited = make(tmp_path, {**SOURCES, "Tuner": "edited"}, tuner={"enabled": True})
    assert changed(before, edited) == {"Tuner", *PASSPORT}
    assert changed(make(tmp_path), make(tmp_path, tuner=tuner)) == PASSPORT  # the passport has every option


def test_building_it_touches_no_disk(tmp_path):
    """On Kubeflow the working directory is one of the pods, which the machine that compiles may not even write."""
    pipeline = make(tmp_path / "absent" / "work")
    assert pipeline.metadata_connection_config.sqlite.filename_uri == f"{tmp_path}/absent/work/metadata.sqlite"
    assert list(tmp_path.iterdir()) == []


def test_nodes_stand_in_data_order(tmp_path):
    seen = set()
    for node in make(tmp_path).components:
        assert {upstream.id for upstream in node.upstream_nodes} <= seen
        seen.add(node.id)


def test_nothing_is_trained_before_the_data_gate_and_nothing_pushed_without_both_blessings(tmp_path):
    nodes = nodes_of(make(tmp_path))
    assert "DataGate" in {node.id for node in nodes["Transform"].upstream_nodes}
    assert {"Evaluator", "ServableCheck", "Trainer"} <= {node.id for node in nodes["Pusher"].upstream_nodes}


def test_the_data_is_judged_by_all_that_is_known_of_it_and_published_with_the_model(tmp_path):
    nodes = nodes_of(make(tmp_path))
    assert set(nodes["DataGate"].inputs) == {"anomalies", "statistics", "schema", "manifest"}
    assert {"manifest", "statistics", "evaluation", "data_verdict", "model_run"} <= set(nodes["Pusher"].inputs)


@pytest.mark.parametrize(
    ("gate", "node"), [("data", "DataGate"), ("quality", "Evaluator"), ("servability", "ServableCheck")]
)
def test_an_override_changes_the_cache_key_of_its_gate_alone(tmp_path, gate, node):
    override = Override((gate,), "ann@lab", "2026-01-31T12:00:00Z", "a good reason")
    assert changed(make(tmp_path), make(tmp_path, override=override)) == {node}


def test_the_same_plan_gives_the_same_pipeline(tmp_path):
    first, second = (compiler.Compiler().compile(make(tmp_path)) for _ in range(2))
    assert first == second
    assert first.pipeline_info.id == "graft"


@pytest.mark.parametrize("node", [node for node, entries in NODE_MODULES.items() if entries and node != "Tuner"])
def test_edited_sources_change_the_cache_key_of_their_node_and_the_passport(tmp_path, node):
    assert changed(make(tmp_path), make(tmp_path, {**SOURCES, node: "edited"})) == {node, *PASSPORT}


@pytest.mark.parametrize(
    ("sections", "nodes"),
    [
        ({"data": {"eval_fraction": 0.3}}, {"ImageExampleGen"}),
        ({"transform": {"image_size": 96}}, {"Transform"}),
        ({"transform": {"crop_to_aspect_ratio": True}}, {"Transform", "Trainer"}),
        ({"trainer": {"epochs": 3}}, {"Trainer"}),
        ({"evaluator": {"batch_size": 3}}, {"Evaluator"}),
        ({"gates": {"quality": {"min_accuracy": 0.9}}}, {"Evaluator"}),
        ({"gates": {"quality": {"max_refused": 0.1}}}, {"Trainer", "Evaluator"}),
        ({"data": {"max_bad_fraction": 0.5}}, {"DataGate"}),
        ({"data": {"max_flat_fraction": 0.5}}, {"DataGate"}),
        ({"data": {"orientation": "ignore"}}, {"ImageExampleGen", "Transform", "Trainer"}),
        ({"data": {"alpha": "black"}}, {"ImageExampleGen", "Trainer"}),
        ({"data": {"classes": ["cats", "dogs"]}}, {"ImportSchemaGen", "DataGate"}),
        ({"gates": {"data": {"on_anomaly": "warn"}}}, {"DataGate"}),
        ({"gates": {"data": {"max_drift": 0.5}}}, {"DataGate"}),
        ({"gates": {"servability": {"images": 3}}}, {"ServableCheck"}),
        ({"card": {"license": "mit"}}, set()),
    ],
)
def test_an_option_changes_the_cache_key_of_its_node_and_the_passport(tmp_path, sections, nodes):
    assert changed(make(tmp_path), make(tmp_path, **sections)) == nodes | PASSPORT


def test_the_place_of_the_data_is_no_option_of_the_ingest(tmp_path):
    assert "elsewhere" not in properties_of(make(tmp_path, data={"path": "elsewhere"}))["ImageExampleGen"]


def test_another_baseline_is_another_comparison_of_data_and_model(tmp_path):
    assert changed(make(tmp_path), make(tmp_path, baseline="7")) == {"DataGate", "BaselineModel"}


def test_another_best_version_is_another_comparison_of_the_model(tmp_path):
    assert changed(make(tmp_path), make(tmp_path, best="7")) == {"BaselineModel"}


def test_everything_lies_in_the_working_directory(tmp_path):
    pipeline = make(tmp_path)
    assert pipeline.pipeline_info.pipeline_root == str(tmp_path / "artifacts")
    assert pipeline.metadata_connection_config.sqlite.filename_uri == str(tmp_path / "metadata.sqlite")
    assert str(tmp_path / "serving") in properties_of(pipeline)["Pusher"]


def test_pixels_are_not_materialised(tmp_path):
    transform = nodes_of(make(tmp_path))["Transform"]
    assert set(transform.outputs) & {"transformed_examples", "updated_analyzer_cache"} == set()


@pytest.mark.slow
def test_statistics_count_thousands_of_classes_exactly(tmp_path):
    """A sketch of fewer values than there are classes guesses, and a shift of labels would be made of guesses."""
    labels = np.repeat(np.arange(1500), np.arange(1500) % 4 + 1).tolist()
    columns = {
        features.LABEL_TEXT: pa.array([[f"class {label:04d}".encode()] for label in labels]),
        features.LABEL: pa.array([[label] for label in labels]),
    }
    batches = pa.table(columns).combine_chunks().to_batches(1000)
    with beam.Pipeline(argv=name_runner([NO_IMAGE])) as pipeline:
        _ = (
            pipeline
            | beam.Create(batches)
            | tfdv.GenerateStatistics(statistics_options())
            | tfdv.WriteStatisticsToBinaryFile(str(tmp_path / "found.pb"))
        )
    (found,) = tfdv.load_stats_binary(str(tmp_path / "found.pb")).datasets
    by_name = {feature.path.step[0]: feature for feature in found.features}
    texts = by_name[features.LABEL_TEXT].string_stats
    counts = {bucket.label: bucket.sample_count for bucket in texts.rank_histogram.buckets}
    assert counts == {f"class {label:04d}": label % 4 + 1 for label in range(1500)}
    assert texts.unique == 1500
    assert by_name[features.LABEL].num_stats.max == 1499
