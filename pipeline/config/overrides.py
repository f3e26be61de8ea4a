"""`graft run --override GATE --reason TEXT`: who lets a gate say no without stopping, and why."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Sequence
from typing import Any

from components.contract.gates import GATES, Override
from components.errors import InputError, did_you_mean

EXAMPLE = 'Example: graft run CONFIG --override quality --reason "the eval set has new, harder images"'


def make_override(gates: Sequence[str], reason: str | None) -> Override | None:
    """Of the command line's options, with the person and the time.

    Args:
        gates: of `GATES`; repeated ones count once.
        reason: in the person's words.

    Returns:
        None where neither is given.

    Raises:
        InputError: one without the other, an empty reason, or a gate that there is not.
    """
    if not gates and reason is None:
        return None
    for gate in gates:
        if gate not in GATES:
            raise InputError(
                f"--override: expected one of {', '.join(GATES)}, got '{gate}'.{did_you_mean(gate, list(GATES))}"
            )
    if not gates:
        raise InputError(f"--reason: expected --override GATE with it; no gate is named.\n{EXAMPLE}")
    if reason is None or not reason.strip():
        raise InputError(f"--override: expected --reason TEXT with it, which is kept in the passport.\n{EXAMPLE}")
    return Override(
        gates=tuple(gate for gate in GATES if gate in gates),
        who=f"{user_name()}@{socket.gethostname()}",
        when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        reason=reason.strip(),
    )


def user_name() -> str:
    """Of the person who runs this; `unknown` where the system has no name for its user id, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def read_override(passport: dict[str, Any]) -> Override | None:
    """The override by which a version was pushed, so that an identical run ends as that one did."""
    content = passport.get("override")
    return Override(**{**content, "gates": tuple(content["gates"])}) if content else None
