"""What several tests share: real records, a real transform graph, and one model that the real Trainer made of them."""

import fcntl
import functools
import gc
import importlib
import logging
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from hypothesis import settings

from components.contract import features
from components.options.data import TransformOptions
from components.options.trainer import TrainerOptions
from components.process.lines import current_line
from tests import pictures

gc.disable()  # until all is loaded and collected


def pytest_collection_finish():
    """Libraries and tests stay: the garbage collector need not walk their two million objects again and again."""
    gc.enable()
    gc.freeze()


def pytest_sessionfinish():
    """Leaves a worker nothing to do: xdist kills one that needs ten seconds to end, and with it what coverage measured.

    On a slow machine that was the last walk of the garbage collector and the writing of what was measured.
    """
    gc.freeze()
    coverage = sys.modules.get("coverage")
    if coverage and (measured := coverage.Coverage.current()):
        measured.save()


settings.register_profile("same_every_time", derandomize=True, deadline=None, database=None)
settings.load_profile("same_every_time")

SIDE = 64  # two by two feature maps
CLASSES = ["dark", "light", "été"]
ALPHA = {"alpha": 0.35}
WIDTH = 32  # features of the small trunk
TRAIN_COUNT, EVAL_COUNT = 36, 15


@pytest.fixture(scope="session", autouse=True)
def _four_cpu_devices():
    """Replicas need logical devices, which can only be made before TensorFlow is first used."""
    if "tensorflow" in sys.modules:
        from components.trainer.devices.strategy import prepare_process

        prepare_process("cpu:4")


@pytest.fixture(autouse=True)
def _own_log_levels():
    """What a command sets for its process ends with the test that called it."""
    loggers = [logging.getLogger(name) for name in ("graft.progress", "graft.run", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def strategies():
    """One strategy a setting: two of them on the same devices take each other's collective operations for their own."""
    from components.trainer.devices.strategy import make_strategy, prepare_process

    prepare_process("cpu:4")  # where this test is the first to load TensorFlow
    return {devices: make_strategy(devices) for devices in ("cpu", "cpu:2", "cpu:4")}


@pytest.fixture
def said(caplog):
    """The closing lines that stages gave the terminal during the test; call it to get them."""
    caplog.set_level(logging.INFO, logger="graft.progress")
    return lambda: [record.getMessage() for record in caplog.records if getattr(record, "done", False)]


def picture_of(label: int, seed: int) -> bytes:
    """A picture that shows its class: dark, light, or green; PNG, JPEG, BMP and GIF in turn."""
    picture = pictures.noise(30, 40, seed, *((0, 60), (190, 256), (0, 60))[label])
    if label == 2:
        picture[..., 1] += 190
    return pictures.encode(picture, ("png", "jpeg", "bmp", "gif")[seed % 4])


@dataclass
class Records:
    """One split: the folder that an Examples artifact would have, and what is in its file."""

    folder: Path
    contents: list[bytes] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    serialized: list[bytes] = field(default_factory=list)

    @property
    def pattern(self) -> list[str]:
        return [str(self.folder / "*")]


def write_records(folder: Path, count: int, first_seed: int) -> Records:
    """Writes `count` examples, the classes in turn, as ImageExampleGen does."""
    import tensorflow as tf

    from components.example_gen.manifest import make_row
    from components.example_gen.records import make_example
    from components.example_gen.scan import limits_of
    from components.images.inspection import inspect_image
    from components.options.data import DataOptions
    from components.sources.listing import Source

    records = Records(folder)
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001")) as writer:
        for index in range(count):
            label = index % len(CLASSES)
            name, content = f"{first_seed + index}.img", picture_of(label, first_seed + index)
            row = make_row(Source(name, CLASSES[label], name), inspect_image(name, content, limits_of(DataOptions())))
            assert not row.reason, row
            records.contents.append(content)
            records.labels.append(label)
            records.serialized.append(make_example(row, content, label))
            writer.write(records.serialized[-1])
    return records


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Folders that one process fills and the others wait for; each has a copy, its own to change, or all have one."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def call(name, fill, copied=True):
        made, done = shared / f"made-{name}", shared / f"made-{name}.done"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)  # left by a process that failed
                made.mkdir()
                fill(made)
                done.touch()
        return Path(shutil.copytree(made, tmp_path_factory.mktemp(name), dirs_exist_ok=True)) if copied else made

    return call


@pytest.fixture(scope="session")
def examples_uri(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="session")
def train_records(examples_uri):
    return write_records(examples_uri / "Split-train", TRAIN_COUNT, 0)


@pytest.fixture(scope="session")
def eval_records(examples_uri):
    return write_records(examples_uri / "Split-eval", EVAL_COUNT, 1000)


@pytest.fixture(scope="session")
def transform_uri(tmp_path_factory, made_once):
    """The folder that Transform leaves: its analysis of `preprocessing_fn` under the committed schema."""

    def fill(folder):
        import apache_beam as beam
        import tensorflow_transform.beam as tft_beam
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2
        from tensorflow_transform.tf_metadata import dataset_metadata

        from components.schema import SCHEMA_FILE
        from components.transform import preprocessing_fn
        from pipeline.beam import name_runner

        schema = text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())
        function = functools.partial(
            preprocessing_fn, custom_config={"options": TransformOptions(image_size=SIDE).to_json()}
        )
        scratch = str(tmp_path_factory.mktemp("transform_scratch"))
        with beam.Pipeline(argv=name_runner([])) as pipeline, tft_beam.Context(temp_dir=scratch):
            nothing = (pipeline | beam.Create([]), dataset_metadata.DatasetMetadata(schema))
            transform_fn = nothing | tft_beam.AnalyzeDataset(function)
            _ = transform_fn | tft_beam.WriteTransformFn(str(folder))

    return str(made_once("transform", fill))


@pytest.fixture(scope="session")
def transform(transform_uri):
    import tensorflow_transform as tft

    return tft.TFTransformOutput(transform_uri)


@pytest.fixture(scope="session")
def trunk(made_once, train_records):
    """The file of a small trunk with the layers of a real one: what wires a network in is tested on it in a moment."""

    def fill(folder):
        import keras
        import tensorflow as tf
        from keras import layers

        from components.transform import decode_and_resize

        keras.utils.set_random_seed(3)
        pixels = maps = keras.Input((SIDE, SIDE, 3))
        for number, (width, stride) in enumerate([(8, 4), (16, 2), (24, 2), (WIDTH, 2)]):
            maps = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"block_{number}_depthwise")(maps)
            maps = layers.Conv2D(width, 1, use_bias=False, name=f"block_{number}_project")(maps)
            maps = layers.BatchNormalization(name=f"block_{number}_norm")(maps)
            maps = layers.ReLU(6.0, name=f"block_{number}_relu")(maps)
        model = keras.Model(pixels, maps)
        norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
        for norm in norms:
            norm.momentum = 0.0  # one pass sets the statistics: activations are of ordinary size
        images = decode_and_resize(tf.constant(train_records.contents), TransformOptions(image_size=SIDE))
        model(images / 127.5 - 1, training=True)
        for norm in norms:
            norm.momentum = 0.99
        model.save(folder / "trunk.keras")

    return str(made_once("trunk", fill, copied=False) / "trunk.keras")


@pytest.fixture(scope="session")
def weights_file(made_once, train_records):
    """Weights of a MobileNetV2 whose activations are of ordinary size; Keras' initial ones fade to 1e-12."""
    file = "mobilenet_v2.weights.h5"

    def fill(folder):
        import keras
        import tensorflow as tf

        from components.trainer.backbones.build import make_backbone, scale_pixels
        from components.transform import decode_and_resize

        keras.utils.set_random_seed(3)
        backbone = make_backbone("MobileNetV2", (SIDE, SIDE), ALPHA, "none").model
        backbone.trainable = True
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        pixels = decode_and_resize(tf.constant(train_records.contents), TransformOptions(image_size=SIDE))
        backbone(scale_pixels(pixels, "-1..1"), training=True)
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):  # damp a little, or rounding errors grow with depth
                layer.moving_variance.assign(layer.moving_variance * 1.25)
        backbone.save_weights(folder / file)

    return str(made_once("weights", fill) / file)


@pytest.fixture(scope="session")
def trained(made_once, train_records, eval_records, transform_uri, trunk):
    """What the Trainer's `run_fn` made of the records: `model` (an artifact's uri), `path` (the SavedModel), `run`."""
    options = TrainerOptions(
        backbone=trunk,
        backbone_scaling="-1..1",
        epochs=30,
        learning_rate=0.005,
        batch_size=8,
        feature_batch_size=16,
        validation_fraction=0.25,
    )

    def fill(folder):
        from components.trainer.train import run_fn

        run_fn(
            SimpleNamespace(
                custom_config={
                    "options": options.to_json(),
                    "features_dir": str(folder / "kept" / "features"),
                    "checkpoint_dir": str(folder / "kept" / "checkpoints"),
                },
                transform_output=transform_uri,
                train_files=train_records.pattern,
                eval_files=eval_records.pattern,
                serving_model_dir=str(folder / "model" / "Format-Serving"),
                model_run_dir=str(folder / "model_run"),
                hyperparameters=None,
            )
        )

    made = made_once("trained", fill)
    model = made / "model"
    return SimpleNamespace(
        model=model, path=model / "Format-Serving", run=made / "model_run", kept=made / "kept", options=options
    )


@pytest.fixture(scope="session")
def stubborn_model(made_once, transform, trunk):
    """An export that answers the first class for every image, with certainty; the uri of its artifact."""

    def fill(folder):
        from components.trainer.backbones.build import make_backbone
        from components.trainer.export.signatures import ServedModel
        from components.trainer.export.write import export_model
        from components.trainer.heads.head import Head

        backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1")
        head = Head(np.zeros([WIDTH, 3], np.float32), np.array([100.0, 0.0, 0.0], np.float32))
        served = ServedModel(backbone, "avg", head, transform, CLASSES)
        export_model(served, str(folder / "Format-Serving"), {"classes": CLASSES, "weights_sha256": "5" * 64})

    return made_once("stubborn", fill)


def make_interpreter(content):
    """A TensorFlow Lite model as the installed TFX line runs it."""
    return importlib.import_module(current_line().tflite_interpreter).Interpreter(model_content=content)


def artifact(kind, uri, identifier=1, **properties):
    """An artifact of TFX on a folder."""
    made = kind()
    made.uri, made.id = str(uri), identifier
    for name, value in properties.items():
        setter = made.set_int_custom_property if isinstance(value, int) else made.set_string_custom_property
        setter(name, value)
    return made


@pytest.fixture(scope="session")
def examples_artifact(examples_uri, train_records, eval_records):
    from tfx.types import artifact_utils, standard_artifacts

    from components.example_gen.executor import describe_artifact

    made = artifact(standard_artifacts.Examples, examples_uri)
    describe_artifact(made, {"fingerprint": "f" * 64})
    assert made.split_names == artifact_utils.encode_split_names(list(features.SPLITS))
    return made


def encode_pack(digests, values):
    """The bytes of one pack of these vectors."""
    from components.trainer.features.packs import PackEncoder

    encoder = PackEncoder(values.shape[1])
    encoder.add(digests, values)
    return encoder.finish()
