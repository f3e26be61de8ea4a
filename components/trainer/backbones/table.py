"""The table of families of backbones: to add one, add its module and a row here.

Everything that needs a family finds it by the name that `trainer.backbone` has: the check of a configuration,
downloads, the network, its trial, precision, second stage and keys. Nothing here needs TensorFlow.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any, cast

from components.errors import InputError, did_you_mean
from components.trainer.backbones.families import efficientnet_lite, keras_applications, keras_hub, saved
from components.trainer.backbones.family import Bringer, Family, License, Scaling, ScalingOption

# The first that holds a name has it.
FAMILIES: tuple[Family, ...] = (keras_applications, efficientnet_lite, keras_hub, saved)


def backbone_names() -> list[str]:
    """Names of all networks that the families offer."""
    return [name for family in FAMILIES for name in family.ROWS]


def find_family(name: str) -> Family:
    """The family that a backbone belongs to.

    Raises:
        InputError: none; the message lists the table.
    """
    for family in FAMILIES:
        if family.holds(name):
            return family
    names = backbone_names()
    raise InputError(
        f"trainer.backbone: expected one of the table, got '{name}'.{did_you_mean(name, names)}\n"
        "A model of your own is named by its path: a .keras file or a SavedModel folder, such as ./trunk.keras; "
        "a preset of KerasHub as keras_hub:NAME or keras_hub:FOLDER, such as keras_hub:dinov2_base.\n"
        f"The table: {', '.join(names)}."
    )


def find_bringer(name: str) -> Bringer | None:
    """The family of a model that brings its own weights; None for others, and for an unknown name."""
    family = next((family for family in FAMILIES if family.holds(name)), None)
    return cast("Bringer", family) if family and family.ARE_PATHS else None


def path_in(name: str) -> str:
    """The path that `trainer.backbone` is or ends with; empty: it names no file or folder."""
    own = find_bringer(name)
    return own.path_in(name) if own else ""


def check_request(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses what a backbone cannot take, before TensorFlow is imported or data read.

    Raises:
        InputError: unknown backbone or argument, no such saved model, or an image smaller than the backbone allows.
    """
    find_family(name).check(name, image_size, arguments)


def check_weights(name: str, weights: str, pin: str | None) -> None:
    """Refuses weights that do not go with a backbone, before TensorFlow is imported or data read.

    Raises:
        InputError: a saved model with weights of another, or a digest of none.
    """
    if find_bringer(name):
        if weights != "imagenet":  # the default, which a configuration may leave as it is
            raise InputError(
                f"trainer.weights: the backbone {name} brings its own, got '{weights}'.\nLeave trainer.weights out."
            )
    elif weights == "none" and pin:
        raise InputError("trainer.weights_sha256: weights 'none' have no file to pin.\nLeave it out, or give weights.")


def describe_weights(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str) -> dict[str, str]:
    """Describes where a backbone's weights are from, and under which licence, as far as that is known.

    Returns:
        `source`: `imagenet`, `none`, or the name of a file of the user's own, of which no more is known; of `imagenet`
        also `url`, `license` as the Hugging Face Hub calls it and `terms`, where that is said; empty: nobody says it.
    """
    if own := find_bringer(name):
        return own.describe(name)
    if weights != "imagenet":
        return {"source": weights if weights == "none" else Path(weights).name}
    family = find_family(name)
    published, known = family.find_weights(name, image_size, arguments), family.LICENSES.get(name, License())
    return {"source": weights, "url": published.url, "license": known.name, "terms": known.terms}


def choose_scaling(name: str, option: ScalingOption) -> Scaling:
    """The scaling of a backbone's pixels: what the configuration says; for `auto`, what the family says.

    Raises:
        InputError: the network scales them itself.
    """
    own = find_bringer(name)
    if own and own.SCALES_INSIDE and option not in ("auto", "inside"):
        raise InputError(
            f"trainer.backbone_scaling: {name} scales its pixels as its preset says, got '{option}'.\n"
            "Leave trainer.backbone_scaling out."
        )
    return find_family(name).scaling_of(name) if option == "auto" else option


def package_facts(name: str) -> dict[str, dict[str, str]]:
    """Versions of the packages that a backbone is built by, as an entry of a key; none where Keras alone builds it."""
    found = {package: metadata.version(package) for package in find_family(name).PACKAGES}
    return {"packages": found} if found else {}
