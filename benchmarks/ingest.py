"""Ingest at growing sizes: peak memory, time and throughput of ImageExampleGen, beside reading and hashing alone.

    python benchmarks/ingest.py --data photos --sizes 3000 12000 48000

Each size is a folder of class folders with copies of the given images made distinct (a comment in each JPEG). Three
things are timed in processes of their own, so that each has its own peak of memory: reading and hashing every file in
one plain loop; ImageExampleGen without a memory of earlier scans (every file is inspected, decoded and hashed, then
read again and written); and once more with that memory, as in a retrain of an unchanged or slightly grown folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg")
AGE = 3600  # seconds: files look settled, so that the memory trusts them


def main() -> None:
    """Runs all sizes and prints a Markdown table."""
    arguments = parse_arguments()
    if arguments.only:
        print(json.dumps(MEASUREMENTS[arguments.only](Path(arguments.data), Path(arguments.scratch))))
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        rows = [row for size in arguments.sizes for row in measure_size(arguments, Path(folder), size)]
    print_table(rows)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with JPEGs, in any depth")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 12000, 48000], help="numbers of images")
    parser.add_argument("--scratch", help="where to put the copies (23 kB an image, twice); default: the system's")
    parser.add_argument(
        "--evict", action="store_true", help="before each measurement, drop the files from the page cache"
    )
    parser.add_argument("--json", help="write the figures into this file, too")
    parser.add_argument("--only", choices=list(MEASUREMENTS), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_size(arguments: argparse.Namespace, scratch: Path, size: int) -> list[dict[str, object]]:
    """The three measurements at one size."""
    tree = scratch / f"images-{size}"
    print(f"{size:,} images: copying...", file=sys.stderr)
    total = write_copies(Path(arguments.data), tree, size)
    rows = []
    for name in MEASUREMENTS:
        if arguments.evict:
            evict(tree)
        print(f"{size:,} images: {name}...", file=sys.stderr)
        command = [sys.executable, __file__, "--only", name, "--data", str(tree), "--scratch", str(scratch)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append({"size": size, "megabytes": total / 1e6, "what": name, **json.loads(done.stdout.splitlines()[-1])})
    shutil.rmtree(tree)
    return rows


def write_copies(data: Path, tree: Path, size: int) -> int:
    """Writes `size` JPEGs with different content into two class folders; gives their bytes."""
    originals = sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not originals:
        raise SystemExit(f"--data: expected a folder with JPEGs, found none in {data}.")
    total, settled = 0, time.time() - AGE
    for index in range(size):
        original = originals[index % len(originals)]
        content = original.read_bytes()
        comment = f"copy {index}".encode()
        content = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
        path = tree / f"class_{index % len(originals) % 2}" / f"{index:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (settled, settled))
        total += len(content)
    return total


def evict(tree: Path) -> None:
    """Drops all files below a folder from the page cache: the next reader waits for the storage."""
    os.sync()
    for path in tree.rglob("*.jpg"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_hashing(tree: Path, scratch: Path) -> dict[str, float]:
    """Reads and hashes every file, one after the other: the floor of any ingest."""
    import hashlib

    paths = [path for folder in sorted(tree.iterdir()) for path in sorted(folder.iterdir())]
    started = time.monotonic()
    for path in paths:
        with open(path, "rb") as file:
            hashlib.sha256(file.read()).hexdigest()
    return _figures(started, len(paths))


def measure_cold(tree: Path, scratch: Path) -> dict[str, float]:
    """ImageExampleGen without any memory."""
    memory = scratch / "memory.sqlite"
    memory.unlink(missing_ok=True)
    return _measure_ingest(tree, scratch, memory)


def measure_remembered(tree: Path, scratch: Path) -> dict[str, float]:
    """ImageExampleGen with the memory that the cold measurement left."""
    return _measure_ingest(tree, scratch, scratch / "memory.sqlite")


def _measure_ingest(tree: Path, scratch: Path, memory: Path) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import standard_artifacts

    from components.contract.artifacts import Manifest
    from components.example_gen.executor import Executor
    from components.options.beam import BeamOptions
    from components.options.data import DataOptions
    from pipeline.beam import beam_args

    out = Path(tempfile.mkdtemp(dir=scratch))
    examples, manifest = standard_artifacts.Examples(), Manifest()
    examples.uri, manifest.uri = str(out / "examples"), str(out / "manifest")
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=beam_args(BeamOptions(), "ImageExampleGen"), tmp_dir=str(out / "tmp"), unique_id="1"
    )
    properties = {"data_path": str(tree), "options": DataOptions().to_json(), "memory": str(memory)}
    idle = _peak_megabytes()
    started = time.monotonic()
    Executor(context).Do({}, {"examples": [examples], "manifest": [manifest]}, properties)
    figures = _figures(started, sum(1 for _ in tree.rglob("*.jpg")))
    shutil.rmtree(out)
    return {**figures, "idle_megabytes": idle}


def _figures(started: float, count: int) -> dict[str, float]:
    seconds = time.monotonic() - started
    return {"seconds": seconds, "images_per_second": count / seconds, "peak_megabytes": _peak_megabytes()}


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASUREMENTS = {"hashing": measure_hashing, "cold": measure_cold, "remembered": measure_remembered}


def print_table(rows: list[dict[str, object]]) -> None:
    """Markdown; the last column is the throughput as a share of that of hashing alone, at the same size."""
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print("| images | MB | what | s | images/s | of hashing | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    floor = {row["size"]: float(str(row["images_per_second"])) for row in rows if row["what"] == "hashing"}
    for row in rows:
        rate = float(str(row["images_per_second"]))
        print(
            f"| {row['size']:,} | {row['megabytes']:,.0f} | {row['what']} | {row['seconds']:.1f} | {rate:,.0f} | "
            f"{rate / floor[row['size']]:.0%} | {row['peak_megabytes']:,.0f} |"
        )


if __name__ == "__main__":
    main()
