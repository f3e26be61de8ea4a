"""`graft models reproduce`: runs a version again from its passport, and compares what comes out, byte for byte."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.contract import features
from components.errors import InputError
from components.files.digests import digest_files
from components.process.lines import library_versions, line_name
from components.registry import versions
from components.registry.passport import describe_data
from components.registry.verify import verify_version
from pipeline.config.configuration import Config, check_config
from pipeline.fingerprint import lock_digest, source_fingerprints
from pipeline.run.planning import RunOptions, hash_weights
from pipeline.run.run import run_pipeline

DECIDING = ("ImageExampleGen", "Transform", "Trainer")  # nodes whose code decides the model


@dataclass(frozen=True)
class Comparison:
    """The comparison of a reproduced model with the pushed one.

    Attributes:
        version: that was run again.
        workdir: where.
        head: sha256 of the head's weights: as pushed, and now.
        backbone: the same of the backbone's.
        same, different: files of the SavedModel that are byte-identical, and those that are not.
        reasons: what differs of all that decides a model; what may explain another result.
    """

    version: int
    workdir: str
    head: tuple[str, str]
    backbone: tuple[str, str]
    same: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether all weights are byte-identical."""
        return self.head[0] == self.head[1] and self.backbone[0] == self.backbone[1]

    def to_json(self) -> str:
        """Gives the comparison as one JSON object."""
        return json.dumps({"identical": self.identical, **asdict(self)}, indent=2)


@dataclass(frozen=True)
class Places:
    """Present paths of data, weights and corrections, whose content is checked by digest. None: as in the passport."""

    data: str | None = None
    weights: str | None = None
    corrections: str | None = None


def reproduce_version(serving: Path, number: int, workdir: Path, places: Places) -> Comparison:
    """Runs the pipeline with a version's configuration and data in a fresh directory, and compares.

    The data is held against the passport at the door, before anything is trained. Which side of the split each image
    was on is taken from the working directory that the version was pushed from, where that is still there.

    Raises:
        InputError: the version has no passport, data or weights are others, or the directory is not fresh.
    """
    passport = read_full_passport(serving, number)
    config = config_of(passport, number, places)
    check_weights_file(config, passport, number)
    if workdir.exists() and any(workdir.iterdir()):
        raise InputError(f"--workdir: expected a fresh directory, found files in {workdir}. Choose another one.")
    workdir.mkdir(parents=True, exist_ok=True)
    memory = serving.parent / "data.sqlite"
    if memory.is_file():
        shutil.copy2(memory, workdir / memory.name)
    run_pipeline(config, workdir, RunOptions(verify=True, expected_data=passport["data_fingerprint"]))
    return compare_export(serving, number, passport, workdir)


def read_full_passport(serving: Path, number: int) -> dict[str, Any]:
    """Reads the passport of a version that can be run again.

    Raises:
        InputError: it does not hold what that takes.
    """
    passport = versions.read_passport(serving / str(number))
    missing = [key for key in ("config", "data_fingerprint", "model", "sources", "libraries") if key not in passport]
    if missing:
        raise InputError(
            f"Version {number} of {serving} cannot be run again: its passport has no {', '.join(missing)}.\n"
            "Expected a version that graft run pushed."
        )
    return passport


def config_of(passport: dict[str, Any], number: int, places: Places) -> Config:
    """Makes the configuration of a version, with its data and weights where they lie now.

    Raises:
        InputError: this Graft does not know it, or there is no weights file.
    """
    content = json.loads(json.dumps(passport["config"]))
    if places.data is not None:
        content["data"]["path"] = places.data
    if places.corrections is not None:
        content["data"]["corrections"] = places.corrections
    if places.weights is not None:
        content["trainer"]["weights"] = places.weights
    try:
        return check_config(content, f"the passport of version {number}")
    except InputError as error:
        raise InputError(
            f"{error}\nIf files moved since, say where they are: --data PATH, --weights FILE, --corrections FILE."
        ) from error


def check_weights_file(config: Config, passport: dict[str, Any], number: int) -> None:
    """Holds the backbone's file against the passport.

    Raises:
        InputError: it is another one.
    """
    found, expected = hash_weights(config.trainer), passport.get("weights_sha256", "")
    if found != expected:
        raise InputError(
            f"Expected the backbone's weights of version {number}, sha256 {expected[:12] or 'none'}; "
            f"{config.trainer.weights} has {found[:12] or 'none'}.\nGive the file as it was: --weights FILE."
        )


def compare_export(serving: Path, number: int, passport: dict[str, Any], workdir: Path) -> Comparison:
    """Holds what the Trainer exported in a fresh directory against a pushed version.

    Raises:
        InputError: the run exported no model, since its data was refused.
    """
    exported = sorted((workdir / "artifacts" / "Trainer" / "model").glob("*/Format-Serving"))
    if not exported:
        raise InputError(
            f"The run in {workdir} came to no model; its summary says why: {workdir}/runs/latest/summary.json"
        )
    facts = json.loads((exported[-1] / "assets" / features.FACTS_ASSET).read_text("utf-8"))
    pushed, now = passport.get("files", {}), digest_files(str(exported[-1]))
    return Comparison(
        number,
        str(workdir),
        (passport["model"]["head_sha256"], facts["head_sha256"]),
        (passport["model"]["backbone_sha256"], facts["backbone_sha256"]),
        sorted(name for name in now if pushed.get(name) == now[name]),
        sorted(name for name in now if pushed.get(name) != now[name]),
        explain_differences(serving, number, passport, workdir),
    )


def explain_differences(serving: Path, number: int, passport: dict[str, Any], workdir: Path) -> list[str]:
    """Lists the differences to the time of a push that may explain another model, a line each."""
    reasons = (
        []
        if verify_version(serving, number).clean
        else [f"version {number} is not as it was pushed: graft models verify"]
    )
    manifests = sorted((workdir / "artifacts" / "ImageExampleGen" / "manifest").iterdir())
    was, found = passport.get("dataset", {}), describe_data(str(manifests[-1]))
    for key, what in (("manifest_sha256", "the data's manifest"), ("split_sha256", "the split into train and eval")):
        if was.get(key, found[key]) != found[key]:
            reasons.append(f"{what} differs: {was[key][:12]} then, {found[key][:12]} now")
    sources = source_fingerprints()
    reasons += [f"the code of {node} differs" for node in DECIDING if passport["sources"].get(node) != sources[node]]
    then, libraries = passport["libraries"], library_versions()
    line = line_name(then.get("tfx", ""))
    if line != line_name(libraries["tfx"]):
        reasons.append(
            f"the TFX line differs: {line or 'none'} then, {line_name(libraries['tfx'])} now; "
            f"with GRAFT_TFX={line} `make run` sets up the line of then"
        )
    reasons += [
        f"{name} {then.get(name, 'none')} then, {version} now"
        for name, version in libraries.items()
        if then.get(name) != version
    ]
    if passport.get("lock_sha256", "") not in ("", lock_digest()):
        reasons.append("the lock file differs: other libraries may too")
    if not passport["config"]["trainer"].get("deterministic", True):
        reasons.append("trainer.deterministic is off: nothing was promised")
    return reasons
