"""Keys of kept features are those of earlier releases: literal, so that no change of the code moves them unseen."""

import hashlib
import json
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from components.options.trainer import TrainerOptions
from components.trainer.backbones import frozen, table
from components.trainer.backbones.build import WeightsSource, digest_weights, make_backbone
from components.trainer.backbones.frozen import Facts
from components.trainer.features import training_inputs

SIZE = (64, 96)
SAVED = {"backbone": "/models/trunk.keras"}
MOBILE = {"backbone_args": {"alpha": 0.35}}
COMMON = {"backbone_sha256": "b" * 64, "transform_sha256": "t" * 64, "view": None}
LATER = {"pooling": "avg", "image_size": [64, 96], "precision": "float32"}


@pytest.fixture
def key_of(monkeypatch):
    """The ingredients of the store's key for some options, without the versions of Keras and TensorFlow."""
    keys = []
    monkeypatch.setattr(training_inputs, "recall_transform_digest", lambda transform, answers: "t" * 64)
    monkeypatch.setattr(training_inputs, "image_size", lambda transform: SIZE)
    monkeypatch.setattr(training_inputs, "FeatureStore", lambda root, key, *_, **__: keys.append(key))

    def find(options, scaling):
        facts = Facts(scaling, "b" * 64, (2, 3, 1280))
        training_inputs.make_stores(SimpleNamespace(root="features"), TrainerOptions(**options), facts, None)(None)
        return {name: value for name, value in keys[-1].items() if name not in ("tensorflow", "keras")}

    return find


@pytest.mark.parametrize(
    ("options", "scaling", "expected", "digest"),
    [
        (
            MOBILE,
            "-1..1",
            {**COMMON, "backbone": "MobileNetV2", "backbone_args": {"alpha": 0.35}, "scaling": "-1..1", **LATER},
            "9259197262985c62c02c72b2b16122bf7e5f8172085efd3f11f357e657c989d4",
        ),
        (
            SAVED,
            "inside",
            {**COMMON, "backbone": "/models/trunk.keras", "backbone_args": {}, "scaling": "inside", **LATER},
            "ee8d7f8892c6d50d3a22f1358a5ede931e322554201f5c05f7a7aa38ff9501a3",
        ),
    ],
)
def test_the_key_of_features_is_that_of_earlier_releases(key_of, options, scaling, expected, digest):
    key = key_of(options, scaling)
    assert key == expected
    assert hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("options", "name", "arguments"), [(MOBILE, "MobileNetV2", {"alpha": 0.35}), (SAVED, "saved model", {})]
)
def test_the_question_about_a_backbone_is_that_of_earlier_releases(options, name, arguments):
    assert frozen._question(TrainerOptions(**options), SIZE, WeightsSource("w", "d" * 64)) == {
        "what": "backbone",
        "backbone": name,
        "arguments": arguments,
        "image_size": [64, 96],
        "weights_sha256": "d" * 64,
    }


@pytest.mark.parametrize(
    ("name", "arguments", "digest"),
    [
        ("MobileNetV2", {"alpha": 0.35}, "19457679a40739d9d3efe54b8168549b3c46af88bd3a135148efcede4130a45d"),
        ("ConvNeXtTiny", {}, "9fe987471484b98f61b0181e359cf84b62417953c74dc43fdceb7cf7d7c6be3e"),
        ("EfficientNetB0", {}, "ae57cd04f879fcd9d352172078c233878eb19b479fcc3a99f5fbc2ff9b04e44d"),
    ],
)
def test_the_digest_of_a_network_is_that_of_earlier_releases(name, arguments, digest):
    model = make_backbone(name, (32, 32), arguments, "none").model
    for number, variable in enumerate(model.weights):
        values = np.arange(int(np.prod(variable.shape)), dtype=np.int64) * 7 % 13 + number % 5 + 1
        variable.assign(values.astype(np.float32).reshape(variable.shape) / 16)
    assert digest_weights(model) == digest


def test_versions_of_a_familys_packages_are_in_its_keys_and_in_no_others(monkeypatch, key_of):
    assert table.package_facts("MobileNetV2") == {}
    monkeypatch.setattr(table.keras_applications, "PACKAGES", ("numpy",))
    versions = {"packages": {"numpy": metadata.version("numpy")}}
    assert key_of(MOBILE, "-1..1").items() > versions.items()
    question = frozen._question(TrainerOptions(**MOBILE), SIZE, WeightsSource("w", "d" * 64))
    assert question.items() > versions.items()
