"""Whether two versions that were pushed under different TFX lines into one serving directory are the same model.

Usage: python scripts/compare_lines.py SERVING. Takes the two newest versions. Exit codes: 0 they agree, 1 they do not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from components import versions

ACCURACY = 0.003  # by how much the lines' accuracies may differ


def main(serving: Path) -> None:
    """Prints what is compared, a line each."""
    numbers = sorted(versions.list_versions(serving))[-2:]
    if len(numbers) != 2:
        sys.exit(f"{serving}: expected two versions, one of each TFX line, found {len(numbers)}.")
    first, second = (versions.read_passport(serving / str(number)) for number in numbers)
    rows = [
        ("TFX line", first["tfx_line"], second["tfx_line"], first["tfx_line"] != second["tfx_line"]),
        ("compared with", "", str(second["parent"]), second["parent"] == numbers[0]),
        *((name, *pair, pair[0] == pair[1]) for name, pair in digests(first, second).items()),
    ]
    accuracies = first["metrics"]["accuracy"], second["metrics"]["accuracy"]
    rows.append(("accuracy", *(f"{value:.4f}" for value in accuracies), abs(accuracies[0] - accuracies[1]) <= ACCURACY))
    for name, one, other, agrees in rows:
        print(f"  {'✓' if agrees else '✗'} {name:15} {one[:16]:18} {other[:16]}")
    if not all(row[-1] for row in rows):
        sys.exit("The two TFX lines do not agree.")
    print("The two TFX lines agree.")


def digests(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What must be equal to the bit."""
    return {
        "data": (first["data_fingerprint"], second["data_fingerprint"]),
        "split": (first["dataset"]["split_sha256"], second["dataset"]["split_sha256"]),
        "backbone": (first["model"]["backbone_sha256"], second["model"]["backbone_sha256"]),
        "head": (first["model"]["head_sha256"], second["model"]["head_sha256"]),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
