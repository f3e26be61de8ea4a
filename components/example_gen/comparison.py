"""Compares files with one another: copies, conflicting labels, leakage, and the side that each falls on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.contract import features
from components.example_gen.history import History
from components.example_gen.manifest import Row
from components.example_gen.split.duplicates import COPY, GROUP, Leak, Neighbours, exact_groups, find_neighbours
from components.example_gen.split.sides import assign_sides, find_odd_shares
from components.images.findings import CONFLICTING_LABEL, DUPLICATE_OF
from components.options.data import DataOptions


@dataclass
class Findings:
    """Groups of names.

    Attributes:
        duplicates: exact copies within a class, on whatever side.
        near_duplicates: different files that show the same picture.
        conflicts: the same content under several classes.
        leakage: an image of the eval side, then the images of the train side that are copies of it or share its group.
    """

    duplicates: list[list[str]] = field(default_factory=list)
    near_duplicates: list[list[str]] = field(default_factory=list)
    conflicts: list[list[str]] = field(default_factory=list)
    leakage: list[list[str]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many groups there are of each kind."""
        return {f"{name}_groups": len(groups) for name, groups in self.__dict__.items()}


def judge_rows(rows: list[Row], options: DataOptions, memory: History) -> tuple[Findings, list[dict[str, Any]]]:
    """Compares all examples; rejects rows and sets `split` in place.

    Args:
        rows: in the order of their names; `split` is what the data said.
        options: what happens to copies, conflicts and leakage; the share of `eval`.
        memory: the sides of earlier runs, so that no image ever moves.

    Returns:
        What was found; and where the share of eval is far from `eval_fraction` (`find_odd_shares`), if it was drawn.
    """
    findings = Findings()
    _judge_copies(rows, options, findings)
    examples = [row for row in rows if row.is_example]
    neighbours = find_neighbours(
        [row.sha256 for row in examples],
        [row.picture_hash for row in examples],
        [row.group for row in examples],
        options.near_duplicate_distance,
    )
    findings.near_duplicates = [[examples[i].name for i in group] for group in neighbours.near_groups()]
    shares = []
    if not all(row.split for row in examples):
        shares = _choose_sides(examples, neighbours, options, memory)
    _judge_leakage(examples, neighbours, options, findings)
    return findings, shares


def _judge_copies(rows: list[Row], options: DataOptions, findings: Findings) -> None:
    examples = [row for row in rows if row.is_example]
    for group in exact_groups([row.sha256 for row in examples]):
        copies = [examples[index] for index in group]
        if len({row.label for row in copies}) == 1:
            findings.duplicates.append([row.name for row in copies])
        else:
            findings.conflicts.append([row.name for row in copies])
            if options.conflicts == "remove":
                _reject_conflict(copies)
        if options.duplicates == "remove":
            _reject_copies(copies)


def _reject_conflict(copies: list[Row]) -> None:
    for row in copies:
        other = next(copy for copy in copies if copy.label != row.label)
        row.reject(CONFLICTING_LABEL, f"the same picture is under '{other.label}': {other.name}")


def _reject_copies(copies: list[Row]) -> None:
    """Keeps the first of each class and given side; copies that cross the sides are for `_judge_leakage`."""
    first: dict[tuple[str, str], Row] = {}
    for row in copies:
        kept = first.setdefault((row.label, row.split), row)
        if row is not kept and row.is_example:
            row.reject(DUPLICATE_OF, kept.name)


def _choose_sides(
    examples: list[Row], neighbours: Neighbours, options: DataOptions, memory: History
) -> list[dict[str, Any]]:
    digests = [row.sha256 for row in examples]
    remembered = memory.sides(digests, options.eval_fraction)
    labels = [row.label for row in examples]
    sides, bridging = assign_sides(digests, labels, neighbours.clusters, remembered, options.eval_fraction)
    for row, side in zip(examples, sides, strict=True):
        row.split = side
    members = _first_members(examples, neighbours, bridging)
    for index in bridging:
        train, evaluation = (members[neighbours.clusters[index], side] for side in features.SPLITS)
        detail = f"it joins images of both sides: {train.name} (train) and {evaluation.name} (eval)"
        examples[index].reject(DUPLICATE_OF, detail)
    return find_odd_shares(examples, neighbours.clusters, remembered, options.eval_fraction)


def _first_members(examples: list[Row], neighbours: Neighbours, bridging: list[int]) -> dict[tuple[int, str], Row]:
    """Finds the first image of each side in the clusters of some images, by cluster and side: one pass over all."""
    members = dict[tuple[int, str], Row]()
    for index in np.flatnonzero(np.isin(neighbours.clusters, neighbours.clusters[bridging])).tolist():
        members.setdefault((int(neighbours.clusters[index]), examples[index].split), examples[index])
    return members


def _judge_leakage(examples: list[Row], neighbours: Neighbours, options: DataOptions, findings: Findings) -> None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for leak in neighbours.leaks([row.split for row in examples]):
        train, evaluation = examples[leak.train], examples[leak.evaluation]
        groups[evaluation.name].append(train.name)
        if options.leakage == "remove":
            train.reject(DUPLICATE_OF, f"{evaluation.name}, which is on the eval side ({_say_how(leak, train)})")
    findings.leakage = [[name, *others] for name, others in sorted(groups.items())]


def _say_how(leak: Leak, row: Row) -> str:
    if leak.kind == GROUP:
        return f"both of group '{row.group}'"
    return "the same bytes" if leak.kind == COPY else f"hashes differ in {leak.distance} of 256 bits"
