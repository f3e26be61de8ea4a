"""`graft features prune`: makes room in the feature store. What is removed is computed again where it is needed."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.errors import InputError
from components.files.paths import PARTIAL
from components.trainer.features.store import BAD, EXPORT, KEY_FILE, OLD_PACK, PACK, USED

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
ABANDONED = 86400.0  # seconds after which no one writes on a partial file


@dataclass(frozen=True)
class KeptFile:
    """One file of kept features, or a kept export."""

    path: Path
    size: int
    last_used: float


@dataclass(frozen=True)
class PrunedFeatures:
    """The files that a prune removed, or would remove, and those that it left."""

    removed: list[KeptFile]
    left: list[KeptFile]
    rubbish: list[Path]


def parse_age(text: str) -> float:
    """Parses an age, `30d`, `12h`, `90min`, `2w`, into seconds.

    Raises:
        InputError: it is no such text.
    """
    return _parse(text, UNITS, "--older-than", "30d (s, min, h, d, w)")


def parse_size(text: str) -> float:
    """Parses a size, `5GB`, `500 MB`, into bytes.

    Raises:
        InputError: it is no such text.
    """
    return _parse(text, SIZES, "--max-size", "5GB (B, KB, MB, GB, TB)")


def _parse(text: str, units: dict[str, int], option: str, example: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    by_lower = {name.lower(): factor for name, factor in units.items()}
    if not found or found[2].lower() not in by_lower:
        raise InputError(f"{option}: expected a number with its unit, such as {example}; got '{text}'.")
    return float(found[1]) * by_lower[found[2].lower()]


def choose(
    packs: list[KeptFile], now: float, older_than: float | None, max_size: float | None
) -> tuple[list[KeptFile], list[KeptFile]]:
    """Chooses which packs go and which stay.

    Args:
        packs: all.
        now: seconds since 1970.
        older_than: seconds; packs not used for longer go. None: age does not matter.
        max_size: bytes; the least recently used go until the others fit. None: size does not matter.
    """
    removed, left, total = list[KeptFile](), list[KeptFile](), 0
    for pack in sorted(packs, key=lambda pack: (-pack.last_used, pack.path)):
        total += pack.size
        too_old = older_than is not None and now - pack.last_used > older_than
        too_much = max_size is not None and total > max_size
        (removed if too_old or too_much else left).append(pack)
    return removed, left


def prune_features(
    workdir: Path, older_than: float | None = None, max_size: float | None = None, dry_run: bool = False
) -> PrunedFeatures:
    """Removes packs, and files that killed runs, damage and earlier versions of Graft left behind.

    A run that goes on is not hurt: it has what it read, and computes what it does not find.

    Raises:
        InputError: there is no feature store, neither limit is given, or a file cannot be removed.
    """
    if older_than is None and max_size is None:
        raise InputError("Expected --older-than or --max-size, got neither: nothing would be removed.")
    root = workdir / "features"
    if not root.is_dir():
        raise InputError(f"Expected a working directory with kept features, found no folder {root}.")
    now = time.time()
    kept = [*root.glob(f"*/*{PACK}"), *root.glob(f"*/*{EXPORT}")]
    removed, left = choose([read_kept(path) for path in kept], now, older_than, max_size)
    rubbish = sorted(path for name in (PACK + BAD, OLD_PACK, OLD_PACK + BAD) for path in root.glob(f"*/*{name}"))
    rubbish += sorted(path for path in root.glob(f"*/*{PARTIAL}") if now - _modified(path) > ABANDONED)
    if not dry_run:
        try:
            _remove(root, removed, rubbish)
        except OSError as error:
            raise InputError(
                f"Cannot remove {error.filename}: {error.strerror}. Check the rights of {root}."
            ) from error
    return PrunedFeatures(removed, left, rubbish)


def read_kept(path: Path) -> KeptFile:
    """Finds size and last use of a pack; one that was never read was last used when it was written."""
    last = 0.0
    with suppress(OSError, ValueError):
        last = float(path.with_name(path.name + USED).read_text())
    return KeptFile(path, path.stat().st_size if path.exists() else 0, max(last, _modified(path)))


def _modified(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return time.time()


def _remove(root: Path, packs: list[KeptFile], rubbish: list[Path]) -> None:
    for path in [*(pack.path for pack in packs), *rubbish]:
        path.unlink(missing_ok=True)
        path.with_name(path.name + USED).unlink(missing_ok=True)
    for key in root.glob(f"*/{KEY_FILE}"):
        is_alone = [*key.parent.iterdir()] == [key]
        if is_alone and time.time() - _modified(key) > ABANDONED:  # no run is about to write there
            key.unlink(missing_ok=True)
            with suppress(OSError):
                key.parent.rmdir()


def describe(pruned: PrunedFeatures, dry_run: bool) -> str:
    """Describes the removed files and the size of the rest, in a few lines."""
    verb = "would be removed" if dry_run else "removed"
    lines = [f"{pack.path.parent.name[:12]}/{pack.path.name}  {_megabytes([pack])}  {verb}" for pack in pruned.removed]
    lines += [
        f"{path.parent.name[:12]}/{path.name}  {verb} (damaged, unfinished or of an earlier Graft)"
        for path in pruned.rubbish
    ]
    lines.append(
        f"{len(pruned.removed)} packs ({_megabytes(pruned.removed)}) {verb}; "
        f"{len(pruned.left)} packs ({_megabytes(pruned.left)}) are left."
    )
    return "\n".join(lines)


def _megabytes(packs: list[KeptFile]) -> str:
    return f"{sum(pack.size for pack in packs) / 1e6:,.1f} MB"
