"""The best version ever pushed, as passports remember it, also after that version was pruned. Pure; reads JSON only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.registry import verify, versions


@dataclass(frozen=True)
class Best:
    """A version and the accuracy that its own evaluation recorded.

    Attributes:
        version: its number; it may be on disk no longer.
        accuracy: 0..1, on the eval images of its own run.
        examples: how many images those were.
    """

    version: int
    accuracy: float
    examples: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def find_best(serving: Path) -> Best | None:
    """The best of all that passports on disk tell of: each version itself, and the best that it was held against.

    The newest of equals; None where no passport holds an accuracy.

    Raises:
        InputError: a passport is damaged, or was edited since its push.
    """
    found = [best for number in versions.list_versions(serving) for best in _told_by(serving, number)]
    return max(found, key=lambda best: (best.accuracy, best.version), default=None)


def recall(serving: Path, version: int) -> Best | None:
    """What passports on disk tell of one version; None where they do not."""
    found = [best for number in versions.list_versions(serving) for best in _told_by(serving, number)]
    return next((best for best in found if best.version == version), None)


def held_against(passport: dict[str, Any]) -> Best | None:
    """The best version when the version of this passport was evaluated; None where there was none."""
    content = ((passport.get("metrics") or {}).get("held_against") or {}).get("best")
    return Best(int(content["version"]), float(content["accuracy"]), int(content["examples"])) if content else None


def _told_by(serving: Path, number: int) -> list[Best]:
    verify.check_passport(serving, number)
    passport = versions.read_passport(serving / str(number))
    metrics = passport.get("metrics") or {}
    own = [Best(number, float(metrics["accuracy"]), int(metrics["examples"]))] if metrics.get("accuracy") else []
    before = held_against(passport)
    return [*own, before] if before else own
