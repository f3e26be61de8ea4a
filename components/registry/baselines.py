"""Baselines of a candidate: the version that is being served, and the best one ever pushed, as passports record them.

A passport remembers the best version of its time, so pruning forgets none. Reads JSON only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.registry import verify, versions

NONE, SERVED, BEST = "none", "served", "best"  # words for a baseline, in the place of a version's number


@dataclass(frozen=True)
class RecordedVersion:
    """A version and the accuracy that its own evaluation recorded.

    Attributes:
        version: its number; it may be on disk no longer.
        accuracy: 0..1, on the eval images of its own run.
        examples: number of those images.
    """

    version: int
    accuracy: float
    examples: int

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields for JSON."""
        return asdict(self)


def choose_baseline(serving: Path, wanted: str) -> int | None:
    """Chooses the version to compare with: `none`, `served` (being served now), or a number."""
    if wanted == SERVED:
        return versions.served_version(serving)
    return None if wanted == NONE else int(wanted)


def choose_best(serving: Path, wanted: str, version: str) -> RecordedVersion | None:
    """Chooses the best version: `none`, `best`, or a number; empty: `best`, or `none` where `version` is `none`."""
    wanted = wanted or (NONE if version == NONE else BEST)
    if wanted == BEST:
        return find_best(serving)
    return None if wanted == NONE else find_recorded(serving, int(wanted))


def find_best(serving: Path) -> RecordedVersion | None:
    """Finds the best version that passports on disk tell of: each version itself, and the best one of its time.

    The newest of equals; None where no passport holds an accuracy.

    Raises:
        InputError: a passport is damaged, or was edited since its push.
    """
    return max(_list_recorded(serving), key=lambda row: (row.accuracy, row.version), default=None)


def find_recorded(serving: Path, version: int) -> RecordedVersion | None:
    """Finds the record of one version in the passports on disk; None where they hold none."""
    return next((row for row in _list_recorded(serving) if row.version == version), None)


def best_of_passport(passport: dict[str, Any]) -> RecordedVersion | None:
    """Reads the best version at the time when a passport's version was evaluated; None where there was none."""
    content = ((passport.get("metrics") or {}).get("held_against") or {}).get("best")
    if not content:
        return None
    return RecordedVersion(int(content["version"]), float(content["accuracy"]), int(content["examples"]))


def _list_recorded(serving: Path) -> list[RecordedVersion]:
    return [row for number in versions.list_versions(serving) for row in _read_records(serving, number)]


def _read_records(serving: Path, number: int) -> list[RecordedVersion]:
    verify.check_passport(serving, number)
    passport = versions.read_passport(serving / str(number))
    metrics, best = passport.get("metrics") or {}, best_of_passport(passport)
    own = [RecordedVersion(number, metrics["accuracy"], metrics["examples"])] if metrics.get("accuracy") else []
    return [*own, best] if best else own
