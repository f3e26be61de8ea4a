"""The table of backbones, without building one."""

import pytest

from components.errors import InputError
from components.trainer.backbones.families.keras_applications import ROWS
from components.trainer.backbones.table import (
    backbone_names,
    check_request,
    choose_scaling,
    find_bringer,
    find_family,
    path_in,
)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_found_and_takes_its_own_size_and_arguments(name):
    row = find_family(name).ROWS[name]
    assert row.name == name
    assert 1 <= row.smallest_size <= row.default_size
    check_request(name, (row.default_size, row.default_size), row.arguments)
    check_request(name, (row.smallest_size, 4096), {})


@pytest.mark.parametrize(
    ("name", "hint"), [("mobilenetv2", "'MobileNetV2'"), ("ResNet5", "'ResNet50'"), ("nothing", None)]
)
def test_an_unknown_backbone_is_answered_with_the_table(name, hint):
    with pytest.raises(InputError) as caught:
        find_family(name)
    text = str(caught.value)
    assert text.startswith(f"trainer.backbone: expected one of the table, got '{name}'.")
    assert text.endswith(f"The table: {', '.join(backbone_names())}.")
    assert (f"Did you mean {hint}?" in text) if hint else ("Did you mean" not in text)


@pytest.mark.parametrize("name", ROWS)
def test_an_image_smaller_than_the_backbone_allows_is_refused(name):
    row = ROWS[name]
    small = row.smallest_size - 1
    for size in [(small, 500), (500, small)]:
        with pytest.raises(InputError) as caught:
            check_request(name, size, {})
        text = str(caught.value)
        assert f"{name} takes images of at least {row.smallest_size} x {row.smallest_size} pixels" in text
        assert f"got {size[0]} x {size[1]}" in text
        assert f"Use {row.smallest_size} or more ({row.default_size} is what" in text


def test_an_unknown_argument_is_answered_with_those_that_are_allowed():
    with pytest.raises(InputError, match=r"MobileNetV2 has no argument 'alfa'; allowed: alpha. Did you mean 'alpha'"):
        check_request("MobileNetV2", (224, 224), {"alfa": 0.35})
    with pytest.raises(InputError, match=r"VGG16 has no argument 'alpha'; allowed: none."):
        check_request("VGG16", (224, 224), {"alpha": 0.35})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MobileNetV2", {"alpha": "wide"}),
        ("MobileNetV2", {"alpha": 0}),
        ("MobileNetV3Small", {"minimalistic": "no"}),
        ("MobileNet", {"depth_multiplier": 0.5}),
        ("MobileNet", {"depth_multiplier": True}),
    ],
)
def test_an_argument_of_the_wrong_kind_is_refused_before_anything_is_built(name, arguments):
    with pytest.raises(InputError, match=f"trainer.backbone_args.*{next(iter(arguments))}"):
        check_request(name, (224, 224), arguments)


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("MobileNetV2", False),
        ("MobileNetV4", False),
        ("trunk.keras", True),
        ("./trunk", True),
        ("/models/trunk", True),
        ("gs://bucket/trunk", True),
        ("trunk", False),
    ],
)
def test_a_path_means_a_saved_model(name, saved):
    assert path_in(name) == (name if saved else "")
    assert (find_bringer(name) is not None) is saved


def test_a_folder_where_the_user_stands_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trunk").mkdir()
    assert not path_in("trunk")
    (tmp_path / "trunk" / "saved_model.pb").touch()
    assert path_in("trunk") == "trunk"


def test_the_answer_to_an_unknown_backbone_says_how_to_name_ones_own():
    with pytest.raises(InputError, match=r"named by its path: a .keras file or a SavedModel folder, such as ./trunk"):
        find_family("trunk")


def test_a_saved_model_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a .keras file or a SavedModel; there is no .*gone.keras.\nRelative paths"):
        check_request(str(tmp_path / "gone.keras"), (64, 64), {})


def test_a_saved_model_takes_no_arguments(tmp_path):
    path = tmp_path / "trunk.keras"
    path.touch()
    check_request(str(path), (1, 1), {})
    with pytest.raises(InputError, match=r"a saved model takes none, got alpha for .*trunk.keras.\nLeave them out"):
        check_request(str(path), (64, 64), {"alpha": 0.5})


@pytest.mark.parametrize(
    ("name", "option", "scaling"),
    [
        ("MobileNetV2", "auto", "-1..1"),
        ("VGG16", "auto", "caffe"),
        ("VGG16", "torch", "torch"),
        ("./trunk.keras", "auto", "inside"),
        ("./trunk.keras", "0..1", "0..1"),
    ],
)
def test_the_scaling_is_the_rows_unless_the_configuration_says_another(name, option, scaling):
    assert choose_scaling(name, option) == scaling
