"""The one definition of the pipeline, for every runner."""

from __future__ import annotations

import json
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig, SqliteMetadataSourceConfig
from tensorflow_data_validation import StatsOptions
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.components.transform.component import Transform
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2

from components.baseline_model import BaselineModel
from components.contract import features
from components.contract.gates import DATA, QUALITY, SERVABILITY, override_for
from components.data_gate.component import DataGate
from components.evaluator.component import Evaluator
from components.example_gen.component import ImageExampleGen
from components.pusher import Pusher
from components.report.component import Report
from components.schema import SCHEMA_FILE, ImportSchemaGen
from components.servable_check.component import ServableCheck
from pipeline.beam import FEATURE_PASS_NODE, beam_args
from pipeline.config.configuration import Config, Plan

MOST_VALUES = 100_000  # of a text, such as a class name, that statistics count exactly; TFDV's default is 1,000
# What DataGate decides, or what is said otherwise: a change here reads no image again.
JUDGED_LATER = {"path": None, "classes": None, "max_bad_fraction": 0.0, "max_flat_fraction": 0.0}


def create_pipeline(plan: Plan) -> Pipeline:
    """All nodes in data order; the same plan gives the same pipeline."""
    config, fingerprints = plan.config, plan.fingerprints

    ingest = ImageExampleGen(
        data_path=plan.data_path,
        options=config.data.model_copy(update=JUDGED_LATER).to_json(),
        data_fingerprint=plan.data_fingerprint,
        memory=plan.memory,
        source_fingerprint=fingerprints["ImageExampleGen"],
    )
    examples = ingest.outputs["examples"]

    statistics = StatisticsGen(examples=examples, stats_options=statistics_options())
    schema = ImportSchemaGen(
        schema_file=SCHEMA_FILE.name,
        classes=json.dumps(config.data.classes),
        source_fingerprint=fingerprints["ImportSchemaGen"],
    )
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    data_gate = DataGate(
        anomalies=validator.outputs["anomalies"],
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        manifest=ingest.outputs["manifest"],
        options=config.gates.data.to_json(),
        data=config.data.model_dump_json(include={"classes", "max_bad_fraction", "max_flat_fraction"}),
        serving_dir=str(plan.serving_dir),
        version=plan.baseline,
        override=override_for(DATA, plan.override),
        source_fingerprint=fingerprints["DataGate"],
    )

    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="components.transform.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=[features.TRAIN_SPLIT], transform=[]),
        materialize=False,
        disable_analyzer_cache=True,
        disable_statistics=True,
        custom_config={
            "options": config.transform.to_json(),
            "orientation": config.data.orientation,
            "source_fingerprint": fingerprints["Transform"],
        },
    )
    transform.add_upstream_node(data_gate)

    training_data: dict[str, Any] = {
        "examples": examples,
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema.outputs["schema"],
        "train_args": trainer_pb2.TrainArgs(splits=[features.TRAIN_SPLIT]),
        "eval_args": trainer_pb2.EvalArgs(splits=[features.EVAL_SPLIT]),
    }
    tuner = make_tuner(plan, training_data) if config.tuner.enabled else None
    trainer = Trainer(
        **training_data,
        run_fn="components.trainer.train.run_fn",
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        custom_config={
            "options": config.trainer.to_json(),
            "exports": list(config.exports),
            "max_refused": config.gates.quality.max_refused,  # what `known` promises is in the export
            "crop_to_aspect_ratio": config.transform.crop_to_aspect_ratio,
            "orientation": config.data.orientation,
            "alpha": config.data.alpha,
            "weights_sha256": plan.weights_sha256,
            "features_dir": str(plan.workdir / "features"),
            "beam_args": feature_pass_args(config),
            "checkpoint_dir": str(plan.workdir / "checkpoints"),
            "source_fingerprint": fingerprints["Trainer"],
        },
    )
    model = trainer.outputs["model"]

    baseline = BaselineModel(
        model=model,
        serving_dir=str(plan.serving_dir),
        version=plan.baseline,
        best=plan.best,
        source_fingerprint=fingerprints["BaselineModel"],
    )
    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["baseline_model"],
        best_model=baseline.outputs["best_model"],
        options=config.evaluator.to_json(),
        gate=config.gates.quality.to_json(),
        override=override_for(QUALITY, plan.override),
        source_fingerprint=fingerprints["Evaluator"],
    )
    servable = ServableCheck(
        model=model,
        model_run=trainer.outputs["model_run"],
        examples=examples,
        gate=config.gates.servability.to_json(),
        override=override_for(SERVABILITY, plan.override),
        source_fingerprint=fingerprints["ServableCheck"],
    )
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=servable.outputs["blessing"],
        manifest=ingest.outputs["manifest"],
        statistics=statistics.outputs["statistics"],
        evaluation=evaluator.outputs["evaluation"],
        data_verdict=data_gate.outputs["verdict"],
        model_run=trainer.outputs["model_run"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(plan.serving_dir))
        ),
        custom_config={
            "serving_dir": str(plan.serving_dir),
            "passport": plan.passport,
            "again": plan.push_again,
            "source_fingerprint": fingerprints["Pusher"],
        },
    )

    report = Report(
        examples=examples,
        manifest=ingest.outputs["manifest"],
        data_verdict=data_gate.outputs["verdict"],
        model=model,
        model_run=trainer.outputs["model_run"],
        baseline_model=baseline.outputs["baseline_model"],
        evaluation=evaluator.outputs["evaluation"],
        infra_blessing=servable.outputs["blessing"],
        passport=json.dumps(plan.passport, sort_keys=True),
        features_dir=str(plan.workdir / "features"),
        data_path=plan.data_path,
        source_fingerprint=fingerprints["Report"],
    )

    for node in (ingest, statistics, transform, evaluator):
        node.with_beam_pipeline_args(beam_args(config.beam, node.id))
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=plan.pipeline_root,
        components=[
            *(ingest, statistics, schema, validator, data_gate),
            *(transform, *([tuner] if tuner else []), trainer, baseline, evaluator, servable, pusher, report),
        ],
        enable_cache=plan.enable_cache,
        metadata_connection_config=metadata_config(plan),
    )


def feature_pass_args(config: Config) -> list[str]:
    """Gives Beam's arguments for the feature pass of Trainer and Tuner; none where it is not Beam's."""
    return beam_args(config.beam, FEATURE_PASS_NODE) if config.trainer.feature_pass == "beam" else []


def statistics_options() -> StatsOptions:
    """Only what the schema names is read: image bytes are not even parsed.

    Values of text are counted in sketches, in the one step that has all other statistics, and not in six of Beam. Up to
    `MOST_VALUES` values a sketch counts exactly.
    """
    return StatsOptions(
        schema=schema_pb2.Schema(
            feature=[
                schema_pb2.Feature(name=name, type=schema_pb2.FeatureType.Value(kind))
                for name, kind in features.STATISTICS_FEATURES.items()
            ]
        ),
        experimental_filter_read_paths=True,
        use_sketch_based_topk_uniques=True,
        num_rank_histogram_buckets=MOST_VALUES,
    )


def metadata_config(plan: Plan) -> ConnectionConfig:
    """ML Metadata in the working directory.

    TFX's helper for this would make the folder, here and now: for Kubeflow it is one of the pods.
    """
    return ConnectionConfig(
        sqlite=SqliteMetadataSourceConfig(
            filename_uri=str(plan.workdir / "metadata.sqlite"),
            connection_mode=SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
        )
    )


def make_tuner(plan: Plan, training_data: dict[str, Any]) -> BaseComponent:
    """TFX's Tuner: tries heads on what the Trainer gets; the best values go there as a standard artifact."""
    from tfx.components.tuner.component import Tuner  # KerasTuner loads in a second, and most runs have no search

    return Tuner(
        **training_data,
        tuner_fn="components.trainer.tune.tuner_fn",
        custom_config={
            "options": plan.config.trainer.to_json(),
            "tuner": plan.config.tuner.to_json(),
            "weights_sha256": plan.weights_sha256,
            "features_dir": str(plan.workdir / "features"),
            "beam_args": feature_pass_args(plan.config),
            "source_fingerprint": plan.fingerprints["Tuner"],
        },
    )
