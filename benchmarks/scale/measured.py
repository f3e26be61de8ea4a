"""Seconds, processor time and peak memory of one part of a process; and what two such points say of a larger one."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESET_PEAK = "5"  # what `proc(5)` wants in `clear_refs` to forget the largest resident size so far
FIGURES = "figures: "


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Measures what is done inside, children included in the processor time; prints a line for `read_figures`.

    Yields:
        A dictionary for further figures.
    """
    found: dict[str, Any] = {}
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before, began, cpu = resident("VmRSS"), time.monotonic(), sum(os.times()[:4])
    yield found
    seconds = {"seconds": time.monotonic() - began, "cpu_seconds": sum(os.times()[:4]) - cpu}
    memory = {"before_mb": before, "peak_mb": resident("VmHWM")}
    print(FIGURES + json.dumps({**{k: round(v, 3) for k, v in seconds.items()}, **memory, **found}), flush=True)


def resident(field: str) -> float:
    """Reads a size of this process in MB, `VmRSS` or its largest so far, `VmHWM`."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return round(int(line.split()[1]) / 1000, 1)


def read_figures(output: str) -> dict[str, Any]:
    """Reads what `measured` printed.

    Raises:
        RuntimeError: nothing was.
    """
    found = [line for line in output.splitlines() if line.startswith(FIGURES)]
    if not found:
        raise RuntimeError("expected a line of figures, found none in:\n" + "\n".join(output.splitlines()[-15:]))
    return dict(json.loads(found[-1].removeprefix(FIGURES)))


def exponent(first: float, second: float, growth: float) -> float | None:
    """The power of the size that a figure grows with, from two points whose sizes have this ratio; None: too small."""
    return math.log(second / first) / math.log(growth) if min(first, second) > 0 else None


def extrapolate(sizes: tuple[int, int], values: tuple[float, float], size: int) -> float:
    """Carries a figure on to a larger size: by the line through both points, or by their power where that is over 1."""
    small, large = sizes
    first, second = values
    power = exponent(first, second, large / small) or 0.0
    if power > 1:
        return float(second * (size / large) ** power)
    return second + (second - first) / (large - small) * (size - large)
