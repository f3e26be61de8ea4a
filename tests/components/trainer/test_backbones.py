"""The table of backbones, without building one."""

import pytest

from components.errors import InputError
from components.trainer.backbones import BACKBONES, check_request, find_backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_a_row_is_found_and_takes_its_own_size_and_arguments(name):
    row = find_backbone(name)
    assert row.constructor == name
    assert 1 <= row.smallest_size <= row.default_size
    check_request(name, (row.default_size, row.default_size), row.arguments)
    check_request(name, (row.smallest_size, 4096), {})


@pytest.mark.parametrize(
    ("name", "hint"), [("mobilenetv2", "'MobileNetV2'"), ("ResNet5", "'ResNet50'"), ("nothing", None)]
)
def test_an_unknown_backbone_is_answered_with_the_table(name, hint):
    with pytest.raises(InputError) as caught:
        find_backbone(name)
    text = str(caught.value)
    assert text.startswith(f"trainer.backbone: expected one of the table, got '{name}'.")
    assert text.endswith(f"The table: {', '.join(BACKBONES)}.")
    assert (f"Did you mean {hint}?" in text) if hint else ("Did you mean" not in text)


@pytest.mark.parametrize("name", BACKBONES)
def test_an_image_smaller_than_the_backbone_allows_is_refused(name):
    row = BACKBONES[name]
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
    [("MobileNetV2", {"alpha": "wide"}), ("MobileNetV2", {"alpha": 0}), ("MobileNetV3Small", {"minimalistic": "no"})],
)
def test_an_argument_of_the_wrong_kind_is_refused_before_anything_is_built(name, arguments):
    with pytest.raises(InputError, match=f"trainer.backbone_args.*{next(iter(arguments))}"):
        check_request(name, (224, 224), arguments)
