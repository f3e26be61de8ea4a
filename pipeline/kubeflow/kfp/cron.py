"""Cron expressions: six fields with the seconds first, as Kubeflow takes them; Vertex takes five."""

from __future__ import annotations

import re

from components.errors import InputError

FIELDS = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "day of the week": (0, 6),
}
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of the week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
EXAMPLE = '"0 0 3 * * *" is every night at three, UTC unless the cluster says otherwise'


def check_cron(text: str) -> str:
    """The expression with single spaces.

    Raises:
        InputError: not six fields, or a field with a value that it cannot have.
    """
    fields = text.split()
    if len(fields) == 5:
        raise InputError(
            f"--cron: expected six fields, seconds first, got five: '{text}'.\nMeant is probably --cron \"0 {text}\"."
        )
    if len(fields) != len(FIELDS):
        raise InputError(f"--cron: expected six fields, seconds first, got '{text}'.\nExample: {EXAMPLE}.")
    for (name, limits), field in zip(FIELDS.items(), fields, strict=True):
        for part in field.split(","):
            _check_part(name, limits, part, text)
    return " ".join(fields)


def to_five_fields(cron: str) -> str:
    """Without the seconds, as Vertex takes it.

    Raises:
        InputError: the seconds are not 0.
    """
    seconds, _, rest = check_cron(cron).partition(" ")
    if seconds != "0":
        raise InputError(f"--cron: Vertex has no seconds; expected 0 as the first field, got '{seconds}'.")
    return rest.replace("?", "*")


def _check_part(name: str, limits: tuple[int, int], part: str, text: str) -> None:
    low, high = limits
    found = re.fullmatch(r"(\*|\?|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?", part.lower())
    if found is None:
        raise InputError(f"--cron '{text}': '{part}' is no {name}.\nExpected {low} to {high}, *, a-b, */n or a list.")
    values = [_number(name, value) for value in found.group(2, 3) if value is not None]
    if any(value is None or not low <= value <= high for value in values):
        raise InputError(f"--cron '{text}': '{part}' is no {name}.\nExpected {low} to {high}.")
    if len(values) == 2 and values[0] > values[1]:  # type: ignore[operator]
        raise InputError(f"--cron '{text}': the range '{part}' runs backwards.")
    if found.group(4) == "0":
        raise InputError(f"--cron '{text}': a step of 0 in '{part}'.")


def _number(name: str, value: str) -> int | None:
    names = NAMES.get(name, [])
    if value in names:
        return names.index(value) + FIELDS[name][0]
    return int(value) if value.isdigit() else None
