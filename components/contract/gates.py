"""What a gate says: checks with measured value, limit, verdict and reason; and who overrode it.

Pure: no TensorFlow, TFX or Beam. Each gate node writes `Gate.to_json()` as `verdict.json`; `summary.json` and the
terminal show the same.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

DATA, QUALITY, SERVABILITY = "data", "quality", "servability"
GATES = (DATA, QUALITY, SERVABILITY)

WIDE_INTERVAL = 0.03  # wherever an accuracy is shown, an interval wider than that stands beside it
PASS: Final = "pass"
WARN: Final = "warn"
FAIL: Final = "fail"
UNDECIDED: Final = "undecided"
Verdict = Literal["pass", "warn", "fail", "undecided"]
OnUndecided = Literal["estimate", "push", "refuse"]
Value = float | int | str | None


@dataclass(frozen=True)
class Check:
    """One check of a gate: a measured value against its limit.

    Attributes:
        name: what, such as `accuracy` or `per_class/cats`.
        measured: the value; None where there is none.
        limit: what it is held against; None where it is only recorded.
        verdict: `pass`, `warn` (told, but lets pass), `fail`, or `undecided` (too little data to say).
        reason: a sentence with value and limit and the name of the option; empty for most that pass.
        stops: whether it stops the push: always for `fail`, never for `pass` and `warn`, and for `undecided` as the
            configuration says.
    """

    name: str
    measured: Value
    limit: Value
    verdict: Verdict
    reason: str = ""
    stops: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.measured, float) and not math.isfinite(self.measured):
            object.__setattr__(self, "measured", str(self.measured))  # JSON has no NaN
        if self.verdict != UNDECIDED:
            object.__setattr__(self, "stops", self.verdict == FAIL)


@dataclass(frozen=True)
class Override:
    """A person's decision that a push goes on though gates said no.

    Attributes:
        gates: the gates concerned, of `GATES`.
        who: user@host.
        when: UTC, `2026-01-31T12:00:00Z`.
        reason: in the person's words.
    """

    gates: tuple[str, ...]
    who: str
    when: str
    reason: str

    def to_json(self) -> str:
        """Gives the override as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Override | None:
        """Reads an execution property; None for an empty text."""
        if not text:
            return None
        content = json.loads(text)
        return cls(**{**content, "gates": tuple(content["gates"])})


def override_for(gate: str, override: Override | None) -> str:
    """Gives the override as the execution property of a gate's node; an empty text where it means other gates."""
    return override.to_json() if override is not None and gate in override.gates else ""


@dataclass(frozen=True)
class Gate:
    """The result of one gate.

    Attributes:
        checks: all, also those that pass.
        override: who let it through, where a check stops; None where no check does.
        notes: further lines that belong to what stops it, such as the worst files.
        extra: further entries of `verdict.json`.
    """

    checks: tuple[Check, ...]
    override: Override | None = None
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check stops; an override does not change what was found."""
        return not any(check.stops for check in self.checks)

    @property
    def lets_through(self) -> bool:
        """Whether the run goes on."""
        return self.passed or self.override is not None

    @property
    def reasons(self) -> list[str]:
        """Reasons of every check that stops, and the notes."""
        return [] if self.passed else [*(check.reason for check in self.checks if check.stops), *self.notes]

    def overridden_by(self, override: Override | None) -> Gate:
        """Gives the result with an override, which is taken only where it is needed."""
        return replace(self, override=None if self.passed else override)

    def to_dict(self) -> dict[str, Any]:
        """Gives the content of `verdict.json`, which `summary.json` holds, too."""
        return {
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "reasons": self.reasons,
            "override": None
            if self.override is None
            else {**asdict(self.override), "gates": list(self.override.gates)},
            **self.extra,
        }

    def to_json(self) -> str:
        """Gives the content of `verdict.json` as text."""
        return json.dumps(self.to_dict(), indent=2)


def at_most(name: str, measured: float, limit: float | None, reason: str) -> Check:
    """Passes where a value is not above its limit; a limit of None only records it. NaN fails."""
    return Check(name, measured, limit, PASS if limit is None or measured <= limit else FAIL, reason)


def undecided(
    name: str, value: float, limit: float, reason: str, by_estimate: bool, says: OnUndecided, option: str
) -> Check:
    """Makes a check that too little data decides; whether it stops is what an option says.

    Args:
        name: of the check.
        value: what was measured.
        limit: what it is held against.
        reason: why nothing is decided.
        by_estimate: whether the value itself, taken as it is, would stop.
        says: the option.
        option: its name.
    """
    stops = {"estimate": by_estimate, "push": False, "refuse": True}[says]
    ends = "refused" if stops else "let through"
    return Check(name, value, limit, UNDECIDED, f"{reason}; {ends}, as {option}: {says} says", stops)


def warnings_of(checks: Iterable[Check]) -> list[str]:
    """Lists the reasons of checks that warn and do not stop."""
    return [check.reason for check in checks if check.verdict in (WARN, UNDECIDED) and not check.stops]


def lets_through(verdict: Mapping[str, Any]) -> bool:
    """Says whether a run goes on after a gate; the argument is the content of its `verdict.json`."""
    return bool(verdict["passed"] or verdict.get("override"))


def used_override(verdicts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Gives the override as the passport has it, with the gates that needed it; None where none did.

    Args:
        verdicts: {gate: the content of its `verdict.json`}.
    """
    used = {gate: verdict["override"] for gate, verdict in verdicts.items() if verdict.get("override")}
    return {**next(iter(used.values())), "gates": [gate for gate in GATES if gate in used]} if used else None


def describe_checks(gates: Mapping[str, Mapping[str, Any]], width: int = 80, shown: int = 10) -> list[str]:
    """Describes every check that did not plainly pass, in lines for the terminal.

    Args:
        gates: {gate: the content of its `verdict.json`}.
        width: of the terminal, in characters.
        shown: at most so many checks a gate; those that stop come first.

    Returns:
        For each gate a heading, then for each check a line with name, measured value and limit, and the reason in
        full below.
    """
    lines: list[str] = []
    for gate in (gate for gate in GATES if gate in gates):
        rows = [row for row in gates[gate].get("checks", []) if row["verdict"] != PASS]
        rows.sort(key=lambda row: not row["stops"])
        if rows:
            lines.append(f"  {gate} gate: {_outcome(gates[gate])}")
        for row in rows[:shown]:
            values = f"{format_value(row['measured'])}, limit {format_value(row['limit'])}"
            lines += _wrapped(f"{VERDICT_MARKS[row['verdict']]} {row['name']}: {values}", width, "    ", "      ")
            lines += _wrapped(row["reason"], width, "      ", "      ")
        if len(rows) > shown:
            lines.append(f"    and {len(rows) - shown:,} more, in summary.json")
    return lines


VERDICT_MARKS = {FAIL: "✗ fail", UNDECIDED: "? undecided", WARN: "! warn"}


def _outcome(content: Mapping[str, Any]) -> str:
    if content["passed"]:
        return "passed"
    override = content.get("override")
    return f"said no, overridden by {override['who']}" if override else "said no"


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, max(width, 40), initial_indent=first, subsequent_indent=others, break_long_words=False)


def format_value(value: Value) -> str:
    """Formats a value for people: four significant digits, counts in full."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
