"""Whether two versions that were pushed under different TFX lines from one working directory are the same model.

Usage: python scripts/compare_lines.py WORKDIR. Takes the two newest versions, and the features that both lines kept.
Exit codes: 0 the lines agree, 1 they do not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from components.registry import versions
from components.trainer.features.packs import Pack, checksum_of

ACCURACY = 0.003  # by how much the accuracies of the lines may differ
FEATURES = 1e-4  # by how much a feature may
Row = tuple[str, str, str, bool]  # what is compared, its two values, and whether they agree


def main(workdir: Path) -> None:
    """Prints what is compared, a line each."""
    serving = workdir / "serving"
    numbers = sorted(versions.list_versions(serving))[-2:]
    if len(numbers) != 2:
        sys.exit(f"{serving}: expected two versions, one of each TFX line, found {len(numbers)}.")
    first, second = (versions.read_passport(serving / str(number)) for number in numbers)
    rows = [
        ("TFX line", first["tfx_line"], second["tfx_line"], first["tfx_line"] != second["tfx_line"]),
        ("compared with", "", str(second["parent"]), second["parent"] == numbers[0]),
        *compare_digests(first, second),
        compare_features(workdir / "features"),
        compare_accuracies(first["metrics"]["accuracy"], second["metrics"]["accuracy"]),
    ]
    for name, one, other, agrees in rows:
        print(f"  {'✓' if agrees else '✗'} {name:15} {one[:16]:18} {other[:16]}")
    if not all(agrees for *_, agrees in rows):
        sys.exit("The two TFX lines do not agree.")
    print("The two TFX lines agree.")


def compare_digests(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    """What must be equal to the bit."""
    pairs = {
        "data": (first["data_fingerprint"], second["data_fingerprint"]),
        "split": (first["dataset"]["split_sha256"], second["dataset"]["split_sha256"]),
        "backbone": (first["model"]["backbone_sha256"], second["model"]["backbone_sha256"]),
        "head": (first["model"]["head_sha256"], second["model"]["head_sha256"]),
    }
    return [(name, one, other, one == other) for name, (one, other) in pairs.items()]


def compare_features(store: Path) -> Row:
    """The largest difference between the features of an image under the two keys that the lines have in the store."""
    keys = sorted(path.parent for path in store.glob("*/key.json"))
    if len(keys) != 2:
        return "features", f"{len(keys)} keys", "expected 2", False
    one, other = (read_features(key) for key in keys)
    if not one or one.keys() != other.keys():
        return "features", f"{len(one)} images", f"{len(other)} images", False
    worst = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    return "features", f"{len(one)} images", f"differ by {worst:.2g}", worst <= FEATURES


def read_features(key: Path) -> dict[bytes, np.ndarray]:
    """float32 [d] of each image, by its sha256."""
    found: dict[bytes, np.ndarray] = {}
    for path in key.glob("*.parquet"):
        pack = Pack(path.read_bytes(), checksum_of(path.read_bytes()))
        found |= dict(zip(map(bytes, pack.digests), pack.vectors(), strict=True))
    return found


def compare_accuracies(one: float, other: float) -> Row:
    """On the eval split."""
    return "accuracy", f"{one:.4f}", f"{other:.4f}", abs(one - other) <= ACCURACY


if __name__ == "__main__":
    main(Path(sys.argv[1]))
