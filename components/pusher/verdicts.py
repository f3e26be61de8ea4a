"""What is pushed is what the gates judged, to the byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from components.contract.artifacts import REMEDY
from components.contract.gates import DATA, QUALITY, SERVABILITY
from components.errors import Damaged
from components.files.digests import combine, digest_files

# What each gate must have judged of what the Pusher is given.
JUDGED = {DATA: ("manifest", "statistics"), QUALITY: ("model",), SERVABILITY: ("model",)}


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
    """sha256 of each file that is to be pushed, by its path below the SavedModel.

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
