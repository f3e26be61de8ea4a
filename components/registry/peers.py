"""What a pushed version is to a candidate; flows from BaselineModel to the Evaluator as `peer.json`. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A pushed version to compare with, or why there is none.

    Attributes:
        version: its number; None: there is no version.
        exists: whether the artifact holds its model, so that it can be run on the candidate's images.
        reason: why it does not.
        accuracy: what its own run recorded, 0..1; None: unknown.
        examples: on how many images.
    """

    version: int | None = None
    exists: bool = False
    reason: str = ""
    accuracy: float | None = None
    examples: int = 0
