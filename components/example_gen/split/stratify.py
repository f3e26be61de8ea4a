"""The draw of the split: which units, of images that are never parted, go to eval, so that each class has its share.

A unit has one draw, whatever its size. Within a class the units with the smallest draws fill the class's share of eval;
one that is larger than what is still missing is passed over for smaller ones.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

SplitUnit = Sequence[tuple[int, int]]  # (class, images of it), each class once
EPSILON = 1e-9  # images: a share of 0.29 of 100 images is 28.999999999999996
MOVES = 4  # that a unit may make, so that classes which units tie together are on both sides


def draw_eval(units: Sequence[SplitUnit], draws: Sequence[int], placed: np.ndarray, eval_fraction: float) -> list[bool]:
    """Draws the units that go to eval; the order of the units does not matter.

    1. By their draws, those go that are not larger than what is missing, in any of their classes.
    2. Then, from the smallest on, those cross over that bring the shares nearer to `eval_fraction`.
    3. Where a class is on one side only, the unit that harms the shares least crosses over, then 2. once more.

    Args:
        units: that are still to be placed.
        draws: one number a unit, all different, which says nothing of the unit's size.
        placed: int [classes, 2], the images of each class that are on train and on eval already.
        eval_fraction: wanted share of eval in each class, 0..1.
    """
    table = _Table(units, placed, eval_fraction)
    by_draw = sorted(range(len(units)), key=draws.__getitem__)
    for index in by_draw:
        if table.fits(index):
            table.move(index)
    sizes = [sum(count for _, count in unit) for unit in units]
    by_size = sorted(by_draw, key=sizes.__getitem__)
    for index in by_size:
        if table.cost(index) < 0:
            table.move(index)
    if _fill_empty_sides(table, by_draw):
        for index in by_size:
            if table.cost(index) < 0 and not table.emptied_by(index):
                table.move(index)
    return table.on_eval


class _Table:
    """Who is where while the draw goes on: all units start on train.

    Attributes:
        units: as given.
        on_eval: whether each unit is on eval.
        counts: images on train and on eval, of each class.
        missing: images that eval lacks, of each class; negative: it has too many.
    """

    def __init__(self, units: Sequence[SplitUnit], placed: np.ndarray, eval_fraction: float) -> None:
        self.units = units
        self.on_eval = [False] * len(units)
        self.counts: list[list[int]] = placed.tolist()
        for unit in units:
            for label, count in unit:
                self.counts[label][False] += count
        self._totals = [sum(pair) for pair in self.counts]
        self.missing = [eval_fraction * sum(pair) - pair[True] for pair in self.counts]

    def fits(self, index: int) -> bool:
        """Tells whether a unit is not larger than what eval lacks, in any of its classes."""
        for label, count in self.units[index]:  # noqa: SIM110  a generator takes three times as long, a million times
            if count > self.missing[label] + EPSILON:
                return False
        return True

    def cost(self, index: int) -> float:
        """Returns what moving a unit adds to the sum of the classes' squared errors of the share."""
        sign, cost = -1 if self.on_eval[index] else 1, 0.0
        for label, count in self.units[index]:
            cost += count * (count - sign * 2 * self.missing[label]) / self._totals[label] ** 2
        return cost

    def emptied_by(self, index: int) -> list[int]:
        """Lists the classes that would have no image left on the unit's side if the unit moved."""
        side = self.on_eval[index]
        return [label for label, count in self.units[index] if self.counts[label][side] == count]

    def holds_all(self, index: int, label: int) -> bool:
        """Tells whether a unit has all images of a class."""
        return (label, self._totals[label]) in self.units[index]

    def move(self, index: int) -> None:
        """Moves a unit to the other side."""
        side = self.on_eval[index]
        for label, count in self.units[index]:
            self.counts[label][side] -= count
            self.counts[label][not side] += count
            self.missing[label] += count if side else -count
        self.on_eval[index] = not side


def _fill_empty_sides(table: _Table, by_draw: Sequence[int]) -> bool:
    """Lets units cross over until no class is on one side only, or all that could have done so a few times."""
    lacking = [label for label, pair in enumerate(table.counts) if not all(pair)]
    if not lacking:
        return False
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index in by_draw:
        for label, _ in table.units[index]:
            members[label].append(index)
    queue = [(len(members[label]), label) for label in lacking]  # those with the least choice first
    heapq.heapify(queue)
    moves = [0] * len(table.units)
    while queue:
        _, label = heapq.heappop(queue)
        free = [index for index in members[label] if moves[index] < MOVES and not table.holds_all(index, label)]
        if all(table.counts[label]) or not free:
            continue
        index = min(free, key=lambda index: (len(table.emptied_by(index)), moves[index], table.cost(index)))
        for other in table.emptied_by(index):
            heapq.heappush(queue, (len(members[other]), other))
        table.move(index)
        moves[index] += 1
    return True
