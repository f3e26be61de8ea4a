"""A backbone is known by its file, and built where it is needed."""

import shutil

import pytest

from components.errors import InputError
from components.files.digests import digest_of
from components.options.trainer import TrainerOptions
from components.trainer.backbones import frozen
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.frozen import Facts, Frozen, freeze
from tests.components.trainer.backbones.cut import cut_networks
from tests.conftest import ALPHA, SIDE

SIZE = (SIDE, SIDE)


@pytest.fixture(scope="module", autouse=True)
def _cut():
    """What is asked here is how often a network is built."""
    with pytest.MonkeyPatch.context() as patch:
        cut_networks(patch)
        yield


@pytest.fixture
def built(monkeypatch):
    """Counts the networks that are built."""
    real, seen = frozen.build_from, []

    def build_from(*arguments):
        seen.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(frozen, "build_from", build_from)
    return seen


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    weights = str(tmp_path_factory.mktemp("weights") / "w.weights.h5")
    make_backbone("MobileNetV2", SIZE, ALPHA, "none").model.save_weights(weights)
    return TrainerOptions(backbone_args=ALPHA, weights=weights)


def test_a_second_run_knows_the_backbone_without_building_it(tmp_path, options, built):
    first = freeze(options, SIZE, AnswerCache(str(tmp_path)))
    assert Facts.of(first.built) == first.facts
    assert len(built) == 1
    second = freeze(options, SIZE, AnswerCache(str(tmp_path)))
    assert second.facts == first.facts
    assert second.facts.weights_sha256 == digest_of(options.weights)
    assert (second.facts.shape, second.facts.scaling) == ((2, 2, 1280), "-1..1")
    assert len(built) == 1
    assert second.built.digest == first.facts.digest
    assert second.built is second.built
    assert len(built) == 2


def test_the_file_is_known_by_its_content(tmp_path, options, built):
    known = AnswerCache(str(tmp_path / "features"))
    digest = freeze(options, SIZE, known).facts.digest
    moved = str(shutil.copy(options.weights, tmp_path / "elsewhere.weights.h5"))
    assert freeze(options.model_copy(update={"weights": moved}), SIZE, known).facts.digest == digest
    assert len(built) == 1
    other = make_backbone("MobileNetV2", SIZE, ALPHA, moved).model
    other.layers[1].kernel.assign_add(other.layers[1].kernel)
    other.save_weights(moved)
    assert freeze(options.model_copy(update={"weights": moved}), SIZE, known).facts.digest != digest
    assert len(built) == 2


def test_another_size_is_another_shape(tmp_path, options):
    known = AnswerCache(str(tmp_path))
    shapes = [freeze(options, size, known).facts.shape for size in (SIZE, (96, 64))]
    assert shapes == [(2, 2, 1280), (3, 2, 1280)]


def test_initial_values_are_drawn_each_time(tmp_path, built):
    options = TrainerOptions(backbone_args=ALPHA, weights="none")
    digests = {freeze(options, SIZE, AnswerCache(str(tmp_path))).facts.digest for _ in range(2)}
    assert len(digests) == len(built) == 2
    assert not list(tmp_path.iterdir())


def test_a_pin_holds_for_a_known_backbone_too(tmp_path, options):
    freeze(options, SIZE, AnswerCache(str(tmp_path)))
    with pytest.raises(InputError, match=f"trainer.weights_sha256: expected {'0' * 64},\nfound"):
        freeze(options.model_copy(update={"weights_sha256": "0" * 64}), SIZE, AnswerCache(str(tmp_path)))


@pytest.mark.parametrize(
    ("shape", "pooling", "width"), [((2, 2, 8), "avg", 8), ((2, 2, 8), "both", 16), ((8,), "both", 8)]
)
def test_the_width_of_features_follows_from_shape_and_pooling(shape, pooling, width):
    facts = Facts("inside", "d" * 64, shape)
    assert facts.feature_width(pooling) == width
    assert facts.has_maps == (len(shape) == 3)


def test_a_network_at_hand_is_not_built_again(options, built):
    network = make_backbone("MobileNetV2", SIZE, ALPHA, options.weights)
    assert Frozen.of(network).built is network
    assert not built
