"""How long something takes yet: told from how far it came lately, smooth, and only where it means something."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field

PATIENCE = 5.0  # seconds of something before anything is said: most of it is done by then
FEWEST = 2  # or a fiftieth of all: so many more must be done, as the first ones tell little of the others,
LONG = 60.0  # unless that took so many seconds
CLOSE = 0.1  # seconds between two counts that are kept: some things are counted ten thousand times a second
WINDOW = 30.0  # seconds, or a third of the time so far if that is more: the pace that counts
SMOOTHING = 6.0  # seconds in which a new pace is believed
LONGEST = 99 * 3600  # seconds; beyond, the pace tells nothing yet


@dataclass
class TimeLeft:
    """The time left of one thing that is counted, such as the images of a node."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _started: float = 0.0
    _total: int = 0
    _left: float = 0.0
    _told: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)  # one thread counts, another one tells

    def count(self, done: int, total: int, now: float) -> None:
        """Takes how far it is; another total, or less than before, is another thing.

        The pace is that after the first one is done: before it, libraries are loaded and the like.

        Args:
            done: so many are done.
            total: of so many.
            now: seconds of a clock that never goes back.
        """
        with self._guard:
            self._count(done, total, now)

    def _count(self, done: int, total: int, now: float) -> None:
        if not self._seen or total != self._total or done < self._seen[-1][1]:
            self._seen.clear()
            self._started, self._total, self._told = now, total, 0.0
        if len(self._seen) > 1 and now - self._seen[-2][0] < CLOSE:
            self._seen.pop()
        if done > 0:
            self._seen.append((now, done))
        longest = max(WINDOW, (now - self._started) / 3)
        while len(self._seen) > 2 and now - self._seen[1][0] >= longest:
            self._seen.popleft()

    def seconds(self, now: float) -> float | None:
        """The seconds that are left; None: it is too early to tell, there is nothing left, or it takes for ever."""
        with self._guard:
            return self._smooth(now)

    def _smooth(self, now: float) -> float | None:
        fresh = self._guess(now)
        if fresh is None:
            return None
        if self._told:
            passed = max(now - self._told, 0.0)
            counted_down = max(self._left - passed, 0.0)
            fresh = counted_down + (1 - math.exp(-passed / SMOOTHING)) * (fresh - counted_down)
        self._left, self._told = fresh, now
        return fresh

    def _guess(self, now: float) -> float | None:
        """By the pace from the oldest count that is looked at until now, so that a halt makes it longer."""
        if len(self._seen) < 2 or now - self._started < PATIENCE:
            return None
        (since, before), (_, done) = self._seen[0], self._seen[-1]
        is_little = done - before < max(FEWEST, self._total // 50) and now - since < LONG
        if is_little or done <= before or done >= self._total:
            return None
        left = (self._total - done) * (now - since) / (done - before)
        return left if 0 < left < LONGEST else None


def in_words(seconds: float) -> str:
    """A duration as people say it: `about 40 s`, `about 3 min`, `about 1 h 20 min`; never 0."""
    if seconds < 97:
        step = 5 if seconds > 12 else 1
        return f"about {max(step * round(seconds / step), 1)} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60:02} min"
