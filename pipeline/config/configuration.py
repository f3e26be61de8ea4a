"""The configuration: a YAML file with only what differs from the defaults, checked once.

`Config` is what a user writes. `Plan` adds what is found out before the DAG is built (paths, fingerprints, the served
version), so that `pipeline.dag.create_pipeline` is a pure function. No TensorFlow, TFX or Beam is imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from components.contract.gates import Override
from components.contract.secrets import refuse_secrets
from components.errors import InputError, did_you_mean
from components.exports.table import check_name
from components.options.base import Options
from components.options.beam import BeamOptions
from components.options.card import CardOptions
from components.options.data import DataOptions, TransformOptions
from components.options.gates import EvaluatorOptions, GateOptions
from components.options.trainer import TrainerOptions
from components.options.tuner import TunerOptions
from components.trainer.backbones.table import check_request, check_weights
from pipeline.config.kubeflow import KubeflowOptions
from pipeline.config.layers import EXTENDS, Layer, find, merge, read_layers, written_sections
from pipeline.config.paths import full_path
from pipeline.config.presets import PRESET, apply_preset, split_settings
from pipeline.config.settings import apply_setting, find_section
from pipeline.fingerprint import node_fingerprints

KEY = "[key]"  # of pydantic: a mapping's key is wrong, not its value


class Config(Options):
    """All options of a pipeline, one section a stage."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "graft"
    data: DataOptions = DataOptions()
    transform: TransformOptions = TransformOptions()
    tuner: TunerOptions = TunerOptions()
    trainer: TrainerOptions = TrainerOptions()
    evaluator: EvaluatorOptions = EvaluatorOptions()
    gates: GateOptions = GateOptions()
    card: CardOptions = CardOptions()
    beam: BeamOptions = BeamOptions()
    exports: Annotated[
        list[Annotated[str, BeforeValidator(check_name)]],
        Field(description="Further forms of the model, which travel with the version."),
    ] = []
    kubeflow: KubeflowOptions = KubeflowOptions()

    def to_yaml(self) -> str:
        """Every option with its value, as a configuration file."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


@dataclass(frozen=True)
class Plan:
    """A configuration with the facts of one run.

    Attributes:
        config: what the user asked for.
        workdir: artifacts, metadata, runs and served versions are below it.
        data_path: the folder of images.
        data_fingerprint: sha256 over its content.
        sources: digest of the code behind each node, by node id, whatever the libraries.
        libraries: versions of what the code runs on.
        weights_sha256: digest of the weights file, empty for `imagenet` and `none`.
        baseline: the version to compare with: a number, or `none`.
        best: likewise the best version ever pushed: a number, `none`, or empty: the node finds it.
        parent: the version being served when the run began, None at first.
        enable_cache: whether nodes may reuse earlier results.
        override: who lets which gates say no without stopping, and why; None: nobody.
        artifacts: where artifacts lie, local or remote; empty: below the working directory.
        remembers: whether what is known of the data's files is kept in the working directory.
        lock_sha256: digest of the lock file that the libraries were installed from; empty where there is none.
        push_again: anything but an empty text makes the Pusher run although it ran before.
    """

    config: Config
    workdir: Path
    data_path: str
    data_fingerprint: str
    sources: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    baseline: str = "none"
    best: str = ""
    parent: int | None = None
    enable_cache: bool = True
    override: Override | None = None
    artifacts: str = ""
    remembers: bool = True
    lock_sha256: str = ""
    push_again: str = ""

    @property
    def pipeline_root(self) -> str:
        """Where artifacts lie."""
        return self.artifacts or str(self.workdir / "artifacts")

    @property
    def memory(self) -> str:
        """The file of what is known of the data's files; empty where nothing is kept."""
        return str(self.workdir / "data.sqlite") if self.remembers else ""

    @property
    def serving_dir(self) -> Path:
        """Where versions are pushed."""
        return self.workdir / "serving"

    @property
    def fingerprints(self) -> dict[str, str]:
        """What each node is cached by, beside its options and inputs: its code and the libraries."""
        return node_fingerprints(self.sources, self.libraries)

    @property
    def model_key(self) -> str:
        """Digest of all that decides the model: data, options and code up to the Trainer."""
        return model_key(self.config, self.data_fingerprint, self.fingerprints, self.weights_sha256)

    @property
    def passport(self) -> dict[str, Any]:
        """Where a model of this run comes from; the Pusher adds version, time and weights."""
        return {
            "schema": 1,
            "name": self.config.name,
            "model_key": self.model_key,
            "data_fingerprint": self.data_fingerprint,
            "weights_sha256": self.weights_sha256,
            "config": self.config.model_dump(mode="json"),
            "sources": self.sources,
            "libraries": self.libraries,
            "lock_sha256": self.lock_sha256,
            "parent": self.parent,
        }


def model_key(config: Config, data_fingerprint: str, fingerprints: dict[str, str], weights_sha256: str = "") -> str:
    """Digest of all that decides the model; gates and evaluation are not among it, but for `max_refused`.

    Args:
        config: checked.
        data_fingerprint: of the data's content.
        fingerprints: of `node_fingerprints`.
        weights_sha256: of the weights file.
    """
    nodes = ["ImageExampleGen", "Transform", "Trainer"]
    searched = ({"tuner"}, ("Tuner",)) if config.tuner.enabled else (set[str](), ())
    deciding: dict[str, Any] = {
        "data": data_fingerprint,
        "weights": weights_sha256,
        "options": config.model_dump(mode="json", include={"data", "transform", "trainer", *searched[0]}),
        "sources": {node: fingerprints.get(node, "") for node in (*nodes, *searched[1])},
    }
    deciding["options"]["max_refused"] = config.gates.quality.max_refused  # the one limit that is in the model
    if config.exports:
        deciding["options"]["exports"] = list(config.exports)
    for known_otherwise in ("path", "corrections", "classes", "max_bad_fraction", "max_flat_fraction"):
        deciding["options"]["data"].pop(known_otherwise)  # by the fingerprint, or judged later
    deciding["options"]["trainer"].pop("feature_pass")  # who computes features changes none of their bits
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def load_config(
    path: str | None,
    settings: Sequence[str] | None = None,
    data: str | None = None,
    below: Mapping[str, Any] | None = None,
) -> Config:
    """Reads and checks a configuration.

    Relative paths in a file are meant from the file's folder; those of the command line from where the user stands.
    What `extends:` names lies below the file, and what `preset:` names between the two.

    Args:
        path: a YAML file; None: the defaults.
        settings: `section.key=value`, the value in YAML; they win over the file. `preset=NAME` wins over the file, and
            every other setting over it.
        data: the data folder; wins over `data.path`.
        below: what holds where neither file nor settings say otherwise, instead of the defaults.

    Raises:
        InputError: no such file, no YAML, or a value that is not allowed.
    """
    layers, content = read_layers(path, Config) if path else [], deepcopy(dict(below or {}))
    for layer in layers:
        if (preset := layer.content.pop(PRESET, None)) is not None:
            content = apply_preset(content, preset, f"{layer.origin}: {PRESET}")
        content = merge(content, written_sections(layer.content, Config))
    named, others = split_settings(settings or [])
    if named is not None:
        content = apply_preset(content, named, "--preset")
    layers += [apply_setting(content, setting, Config) for setting in others]
    if data is not None:
        find_section(content, "data", "--data")["path"] = full_path(data, "--data", None)
    return check_config(content, path or "the command line", layers)


def check_config(content: dict[str, Any], origin: str, layers: Sequence[Layer] = ()) -> Config:
    """From plain values to a `Config`, with errors in the user's words.

    Args:
        content: of all sections.
        origin: where it is from, for errors.
        layers: what it was made of, so that errors can name files and lines.

    Raises:
        InputError: every problem, a line each.
    """
    refuse_secrets(content, "")
    try:
        config = validate(content)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(problem, layers) for problem in error.errors())
        raise InputError(
            f"The configuration of {origin} is not usable:\n" + "\n".join(f"  {x}" for x in lines)
        ) from error
    check_request(config.trainer.backbone, config.transform.image_size, config.trainer.backbone_args)
    if config.gates.quality.min:
        from components.evaluator.metrics import check_floor_names  # here: it loads SciPy, and few set such a floor

        check_floor_names(config.gates.quality.min)
    _check_weights(config.trainer.weights)
    check_weights(config.trainer.backbone, config.trainer.weights, config.trainer.weights_sha256)
    return config


def validate(content: dict[str, Any]) -> Config:
    """Makes a `Config` of plain values, with the table of ingest formats at hand.

    Raises:
        ValidationError: a value that is not allowed.
    """
    from components.sources.table import INGEST_FORMATS  # a tenth of a second that `--help` does without

    return Config.model_validate(content, context={"formats": list(INGEST_FORMATS)})


def _check_weights(weights: str) -> None:
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise InputError(
            f"trainer.weights: expected 'imagenet', 'none' or a weights file; there is no file {weights}."
            f"{did_you_mean(weights, ['imagenet', 'none'])}"
        )


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key of the configuration, in dotted form."""
    keys = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            keys += known_keys(info.annotation, f"{prefix}{name}.")
    return keys


def _explain(problem: Any, layers: Sequence[Layer]) -> str:
    location = tuple(part for part in problem["loc"] if part != KEY)
    found = find(layers, location)
    where = f" ({found.place})" if found else ""
    if problem["type"] == "string_type" and found and (advice := found.explain_text(KEY in problem["loc"])):
        return f"{found.name(location)}: {advice}{where}"
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}; got {problem['input']!r}{where}"
    return f"{name}: unknown key.{_advise_key(name)}{where}"


def _advise_key(name: str) -> str:
    key = name.rpartition(".")[2]
    elsewhere = [known for known in known_keys() if known.rpartition(".")[2] == key]
    near = [known for known in [*known_keys(), EXTENDS, PRESET] if known.count(".") >= name.count(".")]
    siblings = [known for known in known_keys() if known.rpartition(".")[0] == name.rpartition(".")[0]]
    hint = f" Did you mean '{elsewhere[0]}'?" if elsewhere else did_you_mean(name, near)
    return hint or f" Known here: {', '.join(known.rpartition('.')[2] for known in siblings)}."
