"""What the first argument of `graft run`, `check` and `init` is: a configuration, or the images themselves."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from components.contract.secrets import refuse_secrets
from components.errors import InputError, did_you_mean
from components.files.paths import is_remote
from pipeline import sample
from pipeline.config.configuration import Config
from pipeline.config.layers import EXTENDS

YAML_SUFFIXES = (".yaml", ".yml")
LONGEST_CONFIG = 1 << 16  # bytes of a file that has no suffix of YAML
PACKED = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|csv|tsv|jsonl|ndjson|json|tfrecords?|tfrec)$", re.IGNORECASE)
LONGEST_NAME = 63  # characters of `Config.name`
SHOWN = 6  # names in an error


def is_config(target: str) -> bool:
    """Whether a path is a configuration and not images, by what is there: a folder is never one.

    Raises:
        InputError: nothing is there, or a YAML file that is no configuration of Graft; says what is meant perhaps.
    """
    if sample.is_sample(target):
        sample.check_sample(target)
        return False
    if os.path.isdir(target):
        return False
    if is_remote(target):
        if target.lower().endswith(YAML_SUFFIXES):
            raise InputError(f"Configurations are read from this machine, got {target}.\nCopy the file here first.")
        return False
    if not os.path.exists(target):
        raise _nothing_at(target)
    if target.lower().endswith(YAML_SUFFIXES):
        _refuse_foreign(target)
        return True
    return _has_sections(target)


def _nothing_at(target: str) -> InputError:
    folder = os.path.dirname(target.rstrip("/"))
    try:
        known = [os.path.join(folder, name) for name in os.listdir(folder or ".")]
    except OSError:
        known = []
    hint = did_you_mean(target.rstrip("/"), known)
    if target.lower().endswith(YAML_SUFFIXES):
        reason = f"Expected a configuration file at {target}: No such file or directory."
        return InputError(f"{reason}{hint}\nSee configs/ for examples, or give the folder of the images instead.")
    return InputError(
        f"Expected images or a configuration at {target}: nothing is there.{hint}\n"
        "Give a folder with one sub-folder a class, or a .yaml file; sample:digits is there to try."
    )


def _refuse_foreign(path: str) -> None:
    """Refuses a YAML file that has sections, but none of a configuration's; what is broken otherwise is told later."""
    content = _parse(path)
    if isinstance(content, dict) and content and not _known(content):
        keys = ", ".join(map(str, list(content)[:SHOWN])) + ("..." if len(content) > SHOWN else "")
        raise InputError(
            f"{path} is no configuration of Graft: expected sections such as data: and trainer:, got {keys}.\n"
            "For images, give their folder or table instead of this file."
        )


def _has_sections(path: str) -> bool:
    """Whether a file of any other name has the sections of a configuration; tables and archives have not."""
    if not os.path.isfile(path) or os.path.getsize(path) > LONGEST_CONFIG:
        return False
    content = _parse(path)
    is_mapping = isinstance(content, dict) and bool(content) and set(content) <= {*Config.model_fields, EXTENDS}
    return is_mapping and not (PACKED.search(path) and any(isinstance(value, list) for value in content.values()))


def _parse(path: str) -> Any:
    text = ""
    try:
        text = Path(path).read_text("utf-8")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        refuse_secrets(text, path)
        return None


def _known(content: Iterable[Any]) -> set[Any]:
    return {*Config.model_fields, EXTENDS}.intersection(key for key in content if isinstance(key, str))


def make_name(data: str) -> str:
    """A name for a pipeline from that of its images: small letters, digits and dashes, and never empty.

    What has no such letters (`صور`) becomes `images-` and a digest, so that two names of that kind stay apart.
    """
    path = data.removeprefix(sample.PREFIX) if sample.is_sample(data) else data
    last = (path if is_remote(path) else os.path.abspath(path)).rstrip("/").rpartition("/")[2]
    plain = unicodedata.normalize("NFKD", PACKED.sub("", last)).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-")
    if name:
        return name
    return f"images-{hashlib.sha256(last.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}" if last else "images"


def refuse_other_images(workdir: Path, data: str, again: str) -> None:
    """Refuses a working directory, chosen by the name of the images, that belongs to other images of that name.

    Args:
        workdir: that was chosen.
        data: path of the images.
        again: the command, to which `--workdir` may be added.

    Raises:
        InputError: the latest run there was over images elsewhere, which are still there as far as can be told.
    """
    try:
        config = yaml.safe_load((workdir / "runs" / "latest" / "config.yaml").read_text("utf-8"))
        before = str(config["data"]["path"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return
    is_named = is_remote(before) or sample.is_sample(before)
    is_elsewhere = os.path.exists(before) and os.path.realpath(before) != os.path.realpath(data)
    if before != data and (is_named or is_elsewhere):
        raise InputError(
            f"--workdir: expected one for {data}; {workdir} is the one of {before}.\n"
            f"For these images take another: {again} --workdir {shlex.quote(f'{workdir}-2')}"
        )
