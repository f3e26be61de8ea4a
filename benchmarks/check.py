"""`graft check` on many small images: processor time of all its processes, and the peak of memory.

    python benchmarks/check.py --count 50000 --format jpeg

The images are 32 to 64 pixels a side, soft blobs of ten classes, made from a seed. Files lie in the page cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

CLASSES = 10
SMALLEST, LARGEST = 32, 64  # pixels
PAUSE = 0.2  # seconds between two looks at the processes


def main() -> None:
    """Makes the images, checks them, and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000, help="number of images")
    parser.add_argument("--format", choices=["jpeg", "png"], default="jpeg")
    parser.add_argument("--scratch", help="where to put the images; default: the system's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        write_images(Path(folder), arguments.count, arguments.format)
        wall, processor, peak = measure([sys.executable, "-m", "pipeline", "check", folder])
    print(
        f"{arguments.count:,} {arguments.format}: {processor:.1f} s of CPU, {wall:.1f} s, peak {peak / 2**20:,.0f} MB"
    )


def write_images(root: Path, count: int, form: str) -> None:
    """Writes the images into class folders."""
    random = np.random.default_rng(1)
    for index in range(count):
        folder = root / f"class{index % CLASSES}"
        folder.mkdir(exist_ok=True)
        height, width = random.integers(SMALLEST, LARGEST, 2, endpoint=True)
        blobs = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        blobs.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(folder / f"{index}.{form}")


def measure(command: list[str]) -> tuple[float, float, int]:
    """Wall-clock and processor seconds of a command with all its processes, and their peak of memory in bytes."""
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    spent: dict[int, float] = {}
    peaks = [0]
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(process, spent, peaks, ended))
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(f"graft check ended with {code}")
    return time.monotonic() - started, sum(spent.values()), peaks[0]


def watch(process: psutil.Process, spent: dict[int, float], peaks: list[int], ended: threading.Event) -> None:
    """Adds up what each process has used so far; what one uses after the last look, under `PAUSE` s, is missed."""
    while not ended.wait(PAUSE):
        memory = 0
        try:
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                spent[each.pid] = times.user + times.system
                memory += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peaks[0] = max(peaks[0], memory)


if __name__ == "__main__":
    main()
