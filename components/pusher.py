"""The Pusher as a TFX node: reads both blessings, and publishes a blessed model with its passport.

Beside the model, a version holds what data it is made of: its statistics, which the next run's DataGate compares
with, its counts, and the digests of its manifest and of its split.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.components.pusher import executor as stock
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.standard_component_specs import PusherSpec as StockSpec
from tfx.utils import json_utils

from components.contract.artifacts import REMEDY, Artifacts, DataVerdict, Manifest, contents_of, read_verdicts
from components.contract.gates import DATA, QUALITY, SERVABILITY, lets_through, used_override
from components.contract.nodes import PlainNode
from components.errors import Damaged, InputError
from components.files.digests import combine, digest_files
from components.files.paths import is_remote
from components.process.git import find_revisions
from components.registry.card.fields import given_card
from components.registry.passport import Data
from components.registry.pointer import name_user
from components.registry.publish import publish_model

progress = logging.getLogger("graft.progress")
DATA_INPUTS = ("manifest", "statistics", "evaluation", "model_run")  # those that `Data` names
VERDICT_INPUTS = {
    DATA: "data_verdict",
    QUALITY: "evaluation",
    SERVABILITY: "infra_blessing",
}  # gate: input with its verdict
# What each gate must have judged of what the Pusher is given.
JUDGED = {DATA: ("manifest", "statistics"), QUALITY: ("model",), SERVABILITY: ("model",)}
PUSH_LINES = {
    "pushed": "version {}",
    "unchanged": "version {} holds this very model and is served",
    "card": "version {}: the model that is served, with another card",
    "set_aside": "version {} holds this very model and was taken back: not pushed again",
}


class Executor(stock.Executor):
    """TFX's Pusher with an atomic publish; runs where both blessings are given."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Publishes the model if every gate let it through; marks the artifact either way.

        Raises:
            Damaged: the model or its data is not what the gates judged; nothing was pushed.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        uris = {gate: artifact_utils.get_single_uri(input_dict[channel]) for gate, channel in VERDICT_INPUTS.items()}
        verdicts, given = read_verdicts(uris), contents_of(input_dict)
        if not (self.CheckBlessing(input_dict) and all(lets_through(verdict) for verdict in verdicts.values())):
            self._MarkNotPushed(pushed)
            progress.info("not pushed: a gate said no", extra={"done": True})
            return
        custom = json.loads(exec_properties["custom_config"])
        serving = local_folder(custom["serving_dir"])
        data = Data(
            **{name: artifact_utils.get_single_uri(input_dict[name]) for name in DATA_INPUTS}, verdicts=verdicts
        )
        check_judged(given, verdicts)
        model = self.GetModelPath(input_dict)
        judged = judged_files(artifact_utils.get_single_uri(input_dict["model"]), model, given["model"])
        passport = {**custom["passport"], "override": used_override(verdicts), **self._describe_push(custom)}
        published = publish_model(model, serving, passport, data, judged)
        self._MarkPushed(pushed, pushed_destination=str(serving / str(published.version)))
        progress.info(PUSH_LINES[published.how].format(published.version), extra={"done": True})

    def _describe_push(self, custom: Mapping[str, Any]) -> dict[str, Any]:
        """Describes this push: revisions of git, the run, and who pushes where the card is to say so."""
        run = getattr(self._context, "pipeline_run_id", None) or ""
        who = {"pushed_by": name_user()} if given_card(custom["passport"]).get("show_user") else {}
        return {"git": find_revisions(), "run": run, **who}


def check_judged(given: Mapping[str, str], verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """Holds what the Pusher is given against what the verdicts name, and these against one another.

    Args:
        given: of `components.contract.artifacts.contents_of`.
        verdicts: {gate: the content of its `verdict.json`}.

    Raises:
        Damaged: a gate judged something else, or does not say what.
    """
    known = {name: ("the Pusher", digest) for name, digest in given.items()}
    for gate, names in JUDGED.items():
        judged = {**dict.fromkeys(names, ""), **verdicts[gate].get("judged", {})}
        for name, digest in judged.items():
            who, expected = known.setdefault(name, (f"the {gate} gate", digest))
            if digest != expected or not digest:
                raise Damaged(
                    f"the {gate} gate judged another {name} (sha256 {digest[:12] or 'not said'}) than {who} was given "
                    f"({expected[:12] or 'unknown'}): nothing is pushed. {REMEDY}"
                )


def judged_files(uri: str, model: str, content: str) -> dict[str, str]:
    """Computes sha256 of each file that is to be pushed, by its path below the SavedModel.

    Args:
        uri: of the Model artifact.
        model: its SavedModel.
        content: digest of the artifact that was judged.

    Raises:
        Damaged: the artifact's files are not those any more.
    """
    files = digest_files(uri)
    if combine(files) != content:
        raise Damaged(f"the model in {uri} is not the one that was judged: nothing is pushed. {REMEDY}")
    below = f"{os.path.relpath(model, uri)}/"
    return {name.removeprefix(below): digest for name, digest in files.items() if name.startswith(below)}


def local_folder(serving_dir: str) -> Path:
    """Gives the serving directory as a local path.

    Raises:
        InputError: it is remote; object stores rename no folder, so a version could be half there.
    """
    if is_remote(serving_dir):
        raise InputError(
            f"Pusher: expected a folder on a mounted file system to push to, got {serving_dir}.\n"
            "An object store cannot rename a folder, so a server might load half a version. Mount a volume."
        )
    return Path(serving_dir)


class Pusher(PlainNode):
    """TFX's Pusher with more inputs; nothing is optional here that the stock node can do without."""

    EXECUTOR = Executor
    STOCK = StockSpec
    INPUTS = {
        **{name: row.type for name, row in StockSpec.INPUTS.items()},
        "manifest": Manifest,
        "statistics": standard_artifacts.ExampleStatistics,
        "evaluation": standard_artifacts.ModelEvaluation,
        "data_verdict": DataVerdict,
        "model_run": standard_artifacts.ModelRun,
    }
    OUTPUTS = {"pushed_model": standard_artifacts.PushedModel}

    def __init__(self, custom_config: dict[str, Any], **given: Any) -> None:
        """Makes the node.

        Args:
            custom_config: `serving_dir`, `passport`, and `source_fingerprint`: digest of the code behind this node.
            **given: `push_destination`, a folder, as TFX's Pusher takes it; and every input.

        Raises:
            ValueError: an input is missing.
        """
        super().__init__(custom_config=json_utils.dumps(custom_config), **given)
