"""A family is one module and one row: a toy that gives tokens goes all the way by its row in the table alone."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.errors import InputError
from components.files.digests import digest_of
from components.options.trainer import FineTuneOptions, TrainerOptions
from components.trainer.backbones import table
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.family import Backbone, check_row, weights_of_row
from components.trainer.backbones.grid import shape_of, tokens_to_maps
from components.trainer.backbones.weights import load_weights_file
from components.trainer.train import run_fn
from components.trainer.trial import try_network
from pipeline.config.configuration import Config, load_config
from pipeline.weights import fetch_weights
from tests.conftest import CLASSES, EVAL_COUNT, SIDE, TRAIN_COUNT

pytestmark = pytest.mark.slow

SIZE, PLACES, WIDTH = (SIDE, SIDE), (4, 4), 8
NAME = "toy/vit"  # with a slash, as presets have it


def network():
    """Pixels float32 [batch, 64, 64, 3] to tokens [batch, 1 + 4 * 4, 8]; the first is a hundred times larger."""
    pixels = keras.Input((*SIZE, 3))
    patches = keras.layers.Conv2D(WIDTH, 16, strides=16, activation="relu", name="patches")(pixels)
    tokens = keras.layers.Reshape((16, WIDTH))(patches)
    of_class = keras.layers.Rescaling(100.0)(keras.layers.GlobalAveragePooling1D(keepdims=True)(tokens))
    tokens = keras.layers.Concatenate(axis=1)([of_class, tokens])
    return keras.Model(pixels, keras.layers.Dense(WIDTH, activation="relu", name="mixed")(tokens))


def toy_family(digest):
    """The names of a family's module."""
    row = Backbone(NAME, "-1..1", WIDTH, "http://127.0.0.1:1/toy.weights.h5", digest, SIDE, smallest_size=16)

    def build(name, image_size, arguments, weights):
        model = network()
        if weights:
            load_weights_file(model, name, weights)
        return tokens_to_maps(model, image_size, PLACES, extra=1)

    return SimpleNamespace(
        ROWS={NAME: row},
        ARE_PATHS=False,
        ARE_PROVEN=False,
        LICENSES={},
        PACKAGES=("numpy",),
        holds=lambda name: name == NAME,
        check=lambda name, image_size, arguments: check_row(row, image_size, arguments),
        scaling_of=lambda name: row.scaling,
        find_weights=lambda name, image_size, arguments: weights_of_row(row, "Nobody", image_size, arguments),
        build=build,
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The row in the table; the cache has its weights."""
    cache = tmp_path_factory.mktemp("cache")
    keras.utils.set_random_seed(6)
    network().save_weights(cache / "toy.weights.h5")
    family = toy_family(digest_of(cache / "toy.weights.h5"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFT_WEIGHTS", str(cache))
        patch.setattr(table, "FAMILIES", (family, *table.FAMILIES))
        yield cache / "toy.weights.h5"


def train(kept, tmp_path, examples, transform_uri, **options):
    """Runs the Trainer; its record, and the folder of its export."""
    settings = {"epochs": 8, "validation_fraction": 0.25, "tensorboard": False, **options}
    given = {"options": TrainerOptions(backbone=NAME, **settings).to_json(), "features_dir": str(kept)}
    run_fn(
        SimpleNamespace(
            custom_config=given,
            transform_output=transform_uri,
            train_files=examples[0].pattern,
            eval_files=examples[1].pattern,
            serving_model_dir=str(tmp_path / "export"),
            model_run_dir=str(tmp_path / "run"),
            hyperparameters=None,
        )
    )
    return json.loads((tmp_path / "run" / features.HISTORY_FILE).read_text("utf-8")), tmp_path / "export"


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory, train_records, eval_records, transform_uri):
    folder = tmp_path_factory.mktemp("trained")
    record, export = train(folder / "features", folder, (train_records, eval_records), transform_uri)
    return SimpleNamespace(record=record, export=export, kept=folder / "features")


def test_a_configuration_may_name_it(toy):
    settings = [f"trainer.backbone={NAME}", f"transform.image_size={SIDE}"]
    assert load_config(None, settings).trainer.backbone == NAME
    with pytest.raises(InputError, match="toy/vit takes images of at least 16 x 16 pixels"):
        load_config(None, [settings[0], "transform.image_size=8"])
    with pytest.raises(InputError, match="toy/vit has no argument 'alpha'; allowed: none"):
        load_config(None, [*settings, "trainer.backbone_args={alpha: 1}"])
    with pytest.raises(InputError, match=r"Did you mean 'toy/vit'\?") as caught:
        load_config(None, ["trainer.backbone=toy-vit"])
    assert str(caught.value).endswith(f"The table: {', '.join(table.backbone_names())}.")


def test_its_weights_are_fetched(toy):
    options = {"trainer": {"backbone": NAME}, "transform": {"image_size": SIDE}}
    assert fetch_weights(Config.model_validate(options)).path == toy


@pytest.mark.parametrize(
    ("options", "exports"),
    [({"precision": "mixed_bfloat16"}, ("tflite",)), ({"fine_tune": FineTuneOptions(layers=1)}, ())],
)
def test_it_is_tried_before_any_image_is_read(toy, options, exports):
    assert try_network(TrainerOptions(backbone=NAME, **options), SIZE, exports) == str(toy)


def test_features_are_kept_and_the_export_agrees_with_them(trained):
    assert trained.record["features_computed"] == TRAIN_COUNT + EVAL_COUNT
    assert trained.record["parity"] < 1e-4
    facts = json.loads((trained.export / "assets" / features.FACTS_ASSET).read_text("utf-8"))
    assert (facts["backbone"], facts["scaling"], facts["feature_map"]) == (NAME, "-1..1", [*PLACES, WIDTH])
    assert facts["packages"] == {"numpy": np.__version__}


def test_the_map_is_that_of_the_tokens_of_places(toy, trained, train_records, transform):
    model = tf.saved_model.load(str(trained.export))
    images = tf.constant(train_records.contents[:6])
    pixels = transform.transform_features_layer()({features.IMAGE: images[:, tf.newaxis]})[features.PIXELS]
    plain = network()
    plain.load_weights(toy)
    maps = plain(pixels / 127.5 - 1.0).numpy()[:, 1:].reshape(-1, *PLACES, WIDTH)
    logits = maps.mean((1, 2)) @ model.kernel.numpy() + model.bias.numpy()
    found = model.signatures[features.EXPLAIN](images)
    best = logits.argmax(axis=1)
    assert [label.decode() for label in found[features.OUTPUT_LABEL].numpy()] == [CLASSES[index] for index in best]
    evidence = np.maximum(np.einsum("bhwd,db->bhw", maps, model.kernel.numpy()[:, best]), 0.0)
    strongest = evidence.max(axis=(1, 2), keepdims=True)
    expected = np.divide(evidence, strongest, out=np.zeros_like(evidence), where=strongest > 0)
    np.testing.assert_allclose(found[features.OUTPUT_CAM], expected, atol=1e-3)


def test_a_second_run_finds_its_features_and_a_second_stage_learns(
    trained, tmp_path, train_records, eval_records, transform_uri
):
    stage = FineTuneOptions(layers=1, epochs=1, batch_size=8)
    record, _ = train(trained.kept, tmp_path, (train_records, eval_records), transform_uri, fine_tune=stage)
    assert (record["features_computed"], record["features_kept"]) == (0, TRAIN_COUNT + EVAL_COUNT)
    assert len(record["fine_tune"]["history"]["loss"]) == 1


def test_tokens_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"expected tokens \[batch, 18, d\], got \(None, 17, 8\)"):
        tokens_to_maps(network(), SIZE, PLACES, extra=2)


def test_a_family_that_gives_tokens_is_told_how_they_become_maps():
    with pytest.raises(RuntimeError, match=r"gives \(None, 17, 8\).\nFor tokens there is tokens_to_maps"):
        shape_of(network())


def test_its_digest_is_that_of_its_weights(toy):
    first, second = (make_backbone(NAME, SIZE, {}, "imagenet") for _ in range(2))
    assert first.digest == second.digest
    assert (first.output, first.shape, first.weights_sha256) == ("maps", (*PLACES, WIDTH), digest_of(toy))
