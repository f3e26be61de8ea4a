"""Figures of the server: counts of answers, latencies, memory."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import psutil

from pipeline.serve.batcher import Batcher
from pipeline.serve.host import Host
from pipeline.serve.intake import Intake

REMEMBERED = 1000  # latencies


class Health:
    """Gathers figures as requests end."""

    def __init__(self) -> None:
        self._started = time.time()
        self._answers: Counter[int] = Counter()
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._process = psutil.Process()

    def count(self, status: int, seconds: float) -> None:
        """Counts a prediction request that ended with an HTTP status, after some seconds."""
        self._answers[status] += 1
        if status == 200:
            self._seconds.append(seconds)

    def describe(self, host: Host, batcher: Batcher, intake: Intake) -> dict[str, Any]:
        """Gives the state as JSON; latencies are of the last 1,000 good predictions, in ms."""
        current = host.current
        ordered = sorted(self._seconds)
        return {
            "status": "ready" if current else "loading",
            "live": True,
            "ready": current is not None,
            "model": host.name,
            "version": current.number if current else None,
            "classes": current.names if current else [],
            "explains": bool(current and "explain" in current.specs),
            "crop": current.crop if current else None,
            "upright": bool(current and current.limits.upright),
            "problem": host.problem or None,
            "candidate": host.notice or None,
            "reloads": host.reloads,
            "uptime_seconds": round(time.time() - self._started, 1),
            "answers": {str(status): count for status, count in sorted(self._answers.items())},
            "under_way": intake.requests,
            "rows_waiting": batcher.waiting,
            "latency_ms": {f"p{share}": _share(ordered, share) for share in (50, 95, 99)} if ordered else None,
            "rss_mb": round(self._process.memory_info().rss / 2**20, 1),
            "limits": {"request_bytes": intake.limits.request_bytes, "pixels": intake.limits.pixels},
        }


def _share(ordered: list[float], percent: int) -> float:
    return round(1000 * ordered[min(len(ordered) * percent // 100, len(ordered) - 1)], 1)
