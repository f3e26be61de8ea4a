"""What a TFX user writes today: the stock components in TFX's own pattern, `from tfx import v1`, LocalDagRunner.

    python -m benchmarks.compare.plain_tfx TASK.json

Our own writing, after the image examples and tutorials of TFX 1.x: a script packs the images into TFRecords,
ImportExampleGen reads them, Transform decodes, resizes and scales to float32 and materialises that, Trainer runs the
whole network over it in every epoch, the Evaluator blesses with a threshold, the Pusher pushes. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.task import Task

MODULE = "benchmarks.compare.plain_tfx_module"  # by dotted path: packing it as a wheel would cost it some seconds more
EPOCHS = 10


def main() -> None:
    """Packs the images, runs the pipeline, reads the accuracy."""
    task = Task.read(Path(sys.argv[1]))
    started = time.monotonic()
    root = Path(task.scratch) / "plain_tfx"
    classes, counts = pack_records(task, root / "records")
    from tfx import v1 as tfx

    pipeline = make_pipeline(tfx, task, root, classes, counts)
    tfx.orchestration.LocalDagRunner().run(pipeline)
    print(json.dumps({"accuracy": read_accuracy(root), "seconds": time.monotonic() - started}))


def pack_records(task: Task, folder: Path) -> tuple[list[str], dict[str, int]]:
    """Writes `train.tfrecord` and `eval.tfrecord` with the features `image` and `label`; gives classes and counts."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    sides = list_images(task)
    classes = sorted({path.parent.name for paths in sides.values() for path in paths})
    for side, paths in sides.items():
        with tf.io.TFRecordWriter(str(folder / f"{side}.tfrecord")) as writer:
            for path in paths:
                image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()]))
                label = tf.train.Feature(int64_list=tf.train.Int64List(value=[classes.index(path.parent.name)]))
                features = tf.train.Features(feature={"image": image, "label": label})
                writer.write(tf.train.Example(features=features).SerializeToString())
    return classes, {side: len(paths) for side, paths in sides.items()}


def list_images(task: Task) -> dict[str, list[Path]]:
    """The images of each side, shuffled; a fifth is for evaluation where the data gives no split."""
    shuffler = random.Random(task.seed)

    def below(folder: str) -> list[Path]:
        paths = sorted(path for path in Path(folder).glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        shuffler.shuffle(paths)
        return paths

    if task.train_folder:
        return {"train": below(task.train_folder), "eval": below(task.eval_folder)}
    paths = below(task.data)
    return {"train": paths[len(paths) // 5 :], "eval": paths[: len(paths) // 5]}


def make_pipeline(tfx: Any, task: Task, root: Path, classes: list[str], counts: dict[str, int]) -> Any:
    """The stock pipeline of TFX's tutorials."""
    splits = [
        tfx.proto.Input.Split(name="train", pattern="train.tfrecord"),
        tfx.proto.Input.Split(name="eval", pattern="eval.tfrecord"),
    ]
    example_gen = tfx.components.ImportExampleGen(
        input_base=str(root / "records"), input_config=tfx.proto.Input(splits=splits)
    )
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = tfx.components.SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True)
    validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    custom = {
        "image_size": task.image_size,
        "weights": task.weights,
        "alpha": task.alpha,
        "seed": task.seed,
        "classes": len(classes),
        "epochs": EPOCHS,
        "batch_size": task.batch_size,
        **{f"{side}_examples": count for side, count in counts.items()},
    }
    transform = tfx.components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn=f"{MODULE}.preprocessing_fn",
        custom_config=custom,
    )
    trainer = tfx.components.Trainer(
        run_fn=f"{MODULE}.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        train_args=tfx.proto.TrainArgs(),
        eval_args=tfx.proto.EvalArgs(),
        custom_config=custom,
    )
    resolver = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model_resolver")
    evaluator = tfx.components.Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=resolver.outputs["model"],
        eval_config=make_eval_config(),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(root / "serving"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="plain",
        pipeline_root=str(root / "pipeline"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(root / "mlmd.db")),
        components=[
            *(example_gen, statistics_gen, schema_gen, validator, transform),
            *(trainer, resolver, evaluator, pusher),
        ],
        enable_cache=True,
    )


def make_eval_config() -> Any:
    """Accuracy with a lower bound, and no more than a hundredth lost against the last blessed model."""
    import tensorflow_model_analysis as tfma

    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.5}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -0.01}
        ),
    )
    metric = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=threshold)
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key="label", prediction_key="probabilities")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )


def read_accuracy(root: Path) -> float:
    """What the Evaluator measured."""
    import tensorflow_model_analysis as tfma

    evaluation = max((root / "pipeline" / "Evaluator" / "evaluation").iterdir(), key=lambda path: int(path.name))
    metrics = dict(tfma.load_eval_result(str(evaluation)).slicing_metrics)[()][""][""]
    return float(metrics["sparse_categorical_accuracy"]["doubleValue"])


if __name__ == "__main__":
    main()
