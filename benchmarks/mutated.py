"""Damaged images through everything that a user starts: check, run, predict, serve.

    python benchmarks/mutated.py [--images 10000] [--seed 1] [--folder DIR]

Writes so many images of every format (`tests/mutants.py`: bytes changed blindly, or parts changed with all checksums
right) and 200 whole ones into two class folders. Each command must end as it should, each file must be in exactly one
place (examples, quarantine, ignored), and `graft predict` and `graft serve`, asked for each file by itself, must answer
what ingest took and refuse what it did not. Prints a Markdown table; exit code 1 where anything differs. Figures are in
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import mutants, pictures

ROOT = Path(__file__).resolve().parents[1]
GRAFT = [sys.executable, "-m", "pipeline"]
CLASSES = ("bright", "dark")
WHOLE = 100  # images a class that nothing was done to
LARGEST_SECONDS = 3600
DATA = {
    "max_bad_fraction": 1,
    "min_side": 1,
    "near_duplicate_distance": "null",
    "duplicates": "keep",
    "conflicts": "keep",
    "leakage": "report",
}
TRAINING = {"transform.image_size": 32, "trainer.weights": "none", "trainer.backbone_args": "{alpha: 0.35}"}


def main() -> int:
    """Makes the images, starts one command after the other, and compares what they say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep images and working directory there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        data = folder / "data"
        files = write_images(data, arguments.images, arguments.seed)
        problems, table = run_all(data, folder / "work", files)
    print("\n".join(table))
    print("\n".join(problems[:50]) or "no differences", file=sys.stderr)
    return 1 if problems else 0


def write_images(data: Path, count: int, seed: int) -> list[str]:
    """Fills the class folders; gives the names of all files, below the data folder."""
    for index, (name, content) in enumerate(mutants.mutated_files(count, seed)):
        pictures.write(data / CLASSES[index // 64 % 2] / name, content)
    for number, label in enumerate(CLASSES):
        for index in range(WHOLE):
            picture = pictures.noise(40, 52, index, low=128 - 128 * number, high=256 - 128 * number)
            pictures.write(data / label / f"whole-{index:03d}.png", pictures.encode(picture))
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def run_all(data: Path, work: Path, files: list[str]) -> tuple[list[str], list[str]]:
    """Problems, and the lines of a Markdown table."""
    problems = list[str]()
    table = ["| command | s | answered | refused | left aside |", "| --- | --- | --- | --- | --- |"]

    def note(command: str, seconds: float, places: dict[str, str]) -> None:
        found = Counter(
            "taken" if not place else "ignored" if place == "ignored" else "refused" for place in places.values()
        )
        counts = (f"{found[kind]:,}" for kind in ("taken", "refused", "ignored"))
        table.append(f"| {command} | {seconds:,.0f} | {' | '.join(counts)} |")

    seconds, checked = check(data, files, problems)
    table.append(f"| `graft check` | {seconds:,.0f} | {' | '.join(f'{count:,}' for count in checked)} |")
    seconds, ingested = train(data, work, files, problems)
    note("`graft run`", seconds, ingested)
    if (count := Counter(ingested.values()))["ignored"] != checked[2] or count[""] != checked[0]:
        problems.append(f"check found {checked}, run {count}")
    for command, ask in (("`graft predict`", predict), ("`graft serve`", serve)):
        seconds, answers = ask(data, work, files, problems)
        note(command, seconds, answers)
        for name, place in ingested.items():
            if place != "ignored" and bool(answers.get(name, "no answer")) != bool(place):
                problems.append(f"{command}: {name}: ingest said {place or 'yes'!r}, this {answers.get(name)!r}")
    return problems, table


def start(
    problems: list[str], codes: tuple[int, ...], *command: object
) -> tuple[float, subprocess.CompletedProcess[bytes]]:
    """Runs a command of graft to its end; gives the seconds and what it printed."""
    started = time.monotonic()
    words = [*GRAFT, *map(str, command)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=LARGEST_SECONDS)
    if done.returncode not in codes or b"Traceback" in done.stdout:
        problems.append(f"{command[0]}: exit code {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return time.monotonic() - started, done


def settings(values: dict[str, object], prefix: str = "") -> list[str]:
    """The options `--set key=value`."""
    return [word for key, value in values.items() for word in ("--set", f"{prefix}{key}={value}")]


def check(data: Path, files: list[str], problems: list[str]) -> tuple[float, tuple[int, int, int]]:
    """Seconds, and how many files `graft check` takes, refuses and ignores."""
    seconds, done = start(problems, (0,), "check", data, "--json", *settings(DATA, "data."))
    found = json.loads(done.stdout)
    refused = [row["path"] for row in found["quarantined"]]
    taken = sum(count for split in found["examples"].values() for count in split.values())
    if found["found"] != len(files) or taken + len(refused) + found["ignored"] != len(files):
        problems.append(f"check: {len(files)} files, found {found['found']}, in places {taken + len(refused)}")
    if len(set(refused)) < len(refused) or not set(refused) <= set(files):
        problems.append("check: a file is in quarantine twice, or none of the data's")
    return seconds, (taken, len(refused), found["ignored"])


def train(data: Path, work: Path, files: list[str], problems: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds, and where ingest put each file: '' in the examples, 'ignored', or the reason."""
    override = ("--override", "quality", "--reason", "a test of ingest", "--override", "data")
    options = settings(DATA, "data.") + settings({**TRAINING, "trainer.epochs": 2, "gates.quality.min_accuracy": 0})
    seconds, _ = start(
        problems, (0,), "run", ROOT / "configs/sample.yaml", "--data", data, "--workdir", work, *options, *override
    )
    (manifest,) = (work / "artifacts" / "ImageExampleGen" / "manifest").glob("*/manifest.jsonl")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    if sorted(row["name"] for row in rows) != files:
        problems.append(f"run: {len(files)} files, {len(rows)} rows in the manifest, or others")
    for row in rows:
        if bool(row.get("reason")) + bool(row.get("ignored")) + ("split" in row and not row.get("reason")) != 1:
            problems.append(f"run: {row['name']} is in no place or in several: {row}")
    return seconds, {row["name"]: "ignored" if row.get("ignored") else row.get("reason", "") for row in rows}


def predict(data: Path, work: Path, files: list[str], problems: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds, and the error of each file that `graft predict` was given; empty where it answered."""
    output = work / "answers.jsonl"
    seconds, _ = start(problems, (2,), "predict", work, data, "--output", output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    answers = {os.path.relpath(row["path"], data): row.get("error") or "" for row in rows}
    if len(answers) < len(rows):
        problems.append("predict: a file has two rows")
    return seconds, answers


def serve(data: Path, work: Path, files: list[str], problems: list[str]) -> tuple[float, dict[str, str]]:
    """Seconds, and the error of each file that `graft serve` was sent in a request of its own."""
    started = time.monotonic()
    words = [*GRAFT, "serve", str(work), "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = re.search(r"http://([\d.]+):(\d+)/", server.stdout.readline() if server.stdout else "")
            if not address:
                raise SystemExit("graft serve did not start")
            client = http.client.HTTPConnection(address[1], int(address[2]), timeout=600)
            client.request("GET", "/healthz")
            name = json.loads(client.getresponse().read())["model"]
            answers = {file: ask(client, name, (data / file).read_bytes(), problems) for file in files}
            if server.poll() is not None:
                problems.append(f"serve: ended with {server.returncode}")
        finally:
            server.terminate()
    return time.monotonic() - started, answers


def ask(client: http.client.HTTPConnection, name: str, content: bytes, problems: list[str]) -> str:
    """The error of a request for one image; empty where it was answered."""
    image: dict[str, Any] = {"image_bytes": {"b64": base64.b64encode(content).decode()}}
    client.request("POST", f"/v1/models/{name}:predict", json.dumps({"instances": [image]}))
    answer = client.getresponse()
    body = answer.read()
    if answer.status not in (200, 400):
        problems.append(f"serve: status {answer.status}: {body[:300]!r}")
    return "" if answer.status == 200 else json.loads(body)["error"]


if __name__ == "__main__":
    raise SystemExit(main())
