"""What decides a feature besides its image."""

import functools
import tempfile
from types import SimpleNamespace

import pytest
import tensorflow as tf

from components.contract import features
from components.images.orientation import read_orientation
from components.options.data import TransformOptions
from components.trainer.features.store import digest_key
from components.trainer.features.store_key import describe_key, digest_transform, probe_images
from components.transform import preprocessing_fn

pytestmark = pytest.mark.slow

FACTS = {"backbone": "MobileNetV2", "scaling": "-1..1", "pooling": "avg", "image_size": [64, 64]}


def transform_of(folder):
    """What Transform leaves for the options of the session's."""
    import apache_beam as beam
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata

    from components.schema import SCHEMA_FILE
    from pipeline.beam import name_runner

    schema = text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())
    function = functools.partial(preprocessing_fn, custom_config={"options": TransformOptions(image_size=64).to_json()})
    with (
        tempfile.TemporaryDirectory() as scratch,
        beam.Pipeline(argv=name_runner([])) as pipeline,
        tft_beam.Context(temp_dir=scratch),
    ):
        nothing = (pipeline | beam.Create([]), dataset_metadata.DatasetMetadata(schema))
        _ = nothing | tft_beam.AnalyzeDataset(function) | tft_beam.WriteTransformFn(str(folder))
    return tft.TFTransformOutput(str(folder))


def graph_of(folder, orientation="apply", **options):
    """The graph of some options alone, without what Transform puts around it."""
    config = {"orientation": orientation, "options": TransformOptions(**options).to_json()}

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string), tf.TensorSpec([None, 1], tf.int64)])
    def graph(image, label):
        return preprocessing_fn({features.IMAGE: image, features.LABEL: label}, config)

    saved = tf.Module()
    saved.graph = graph
    tf.saved_model.save(saved, str(folder), signatures=graph)
    layer = lambda raw: graph(raw[features.IMAGE], tf.zeros([len(raw[features.IMAGE]), 1], tf.int64))  # noqa: E731
    return SimpleNamespace(transform_savedmodel_dir=str(folder), transform_features_layer=lambda: layer)


def test_the_digest_is_that_of_the_options_and_not_of_the_saved_bytes(tmp_path, transform):
    """The session's graph was traced at another point of this process."""
    assert digest_transform(transform_of(tmp_path / "again")) == digest_transform(transform)
    digests = [
        digest_transform(graph_of(tmp_path / str(number), **options))
        for number, options in enumerate(
            [
                {"image_size": 64},
                {"image_size": 64},
                {"image_size": 65},
                {"image_size": 64, "resize": "area"},
                {"image_size": 64, "crop_to_aspect_ratio": True},
                {"image_size": 64, "orientation": "ignore"},
            ]
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5


def test_probes_are_images_of_several_kinds():
    kinds = [image[:4] for image in probe_images()]
    assert kinds == [b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xe0"] + [b"\x89PNG"] * 2
    assert [read_orientation(image) for image in probe_images()] == [1, 6, 1, 1, 1]


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone_sha256": "c" * 64},
        {"transform_sha256": "d" * 64},
        {"pass_facts": {**FACTS, "pooling": "max"}},
        {"view_facts": {"number": 1}},
    ],
)
def test_every_ingredient_makes_another_key(changed):
    base = {"backbone_sha256": "a" * 64, "pass_facts": FACTS, "transform_sha256": "b" * 64}
    assert digest_key(describe_key(**base)) == digest_key(describe_key(**base))
    assert digest_key(describe_key(**{**base, **changed})) != digest_key(describe_key(**base))


def test_another_release_of_the_libraries_makes_another_key(monkeypatch):
    base = digest_key(describe_key("a", FACTS, "b"))
    for module in ("tensorflow", "keras"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{module}.__version__", "99")
            assert digest_key(describe_key("a", FACTS, "b")) != base
