"""The errors whose text is written for the user; everything else is a failure inside."""

from collections.abc import Sequence
from typing import Any


class InputError(ValueError):
    """Usage, configuration or input is wrong: the user can mend it (exit code 2).

    The message is a few lines: what was expected, what was found, what to do.
    """


class GateRefused(RuntimeError):
    """A gate said no: the run is complete and recorded, nothing is pushed (exit code 3).

    Attributes:
        gate: which gate, one of `data`, `quality`, `servability`.
        reasons: a line each, with the measured value and the limit.
        verdict: everything that was looked at, as `components.contract.gates.Gate.to_dict` gives it.
    """

    def __init__(self, gate: str, reasons: list[str], verdict: dict[str, Any] | None = None) -> None:
        super().__init__(f"The {gate} gate said no: " + "; ".join(reasons))
        self.gate = gate
        self.reasons = reasons
        self.verdict = verdict or {"passed": False, "checks": [], "reasons": reasons, "override": None}


class Damaged(RuntimeError):
    """What an earlier node made is no longer what it made; nothing is done with it (exit code 1)."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint ` Did you mean 'x'?` when a known name is near, else an empty string."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text; the name of its type where it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
