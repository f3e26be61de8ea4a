"""The manifest: a row a file, and the digest that says whether the data changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from components import features
from components.example_gen.sources import Source


@dataclass(frozen=True)
class Row:
    """One file of the source: an example, a rejected file (`reason`), or a side-car (`ignored`)."""

    name: str
    label: str = ""
    split: str = ""
    sha256: str = ""
    bytes: int = 0
    format: str = ""
    height: int = 0
    width: int = 0
    channels: int = 0
    reason: str = ""
    detail: str = ""
    ignored: bool = False

    def to_json(self) -> str:
        """One line of the manifest, without the fields that say nothing."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in ("", 0, False)})


def fingerprint_sources(
    sources: list[Source], on_progress: Callable[[int], None] = lambda count: None, threads: int | None = None
) -> str:
    """The fingerprint of a data folder: reads every file, decodes none.

    Args:
        sources: as `list_images` gives them, in the order of their names.
        on_progress: called with the number of files done.
        threads: readers; hashing releases the GIL. As many as processors by default.
    """
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        return digest_sources(sources, _counted(pool.map(_hash_file, sources), on_progress))


def digest_sources(sources: Iterable[Source], hashes: Iterable[str]) -> str:
    """sha256 over every file's name, label, given split and content hash (empty: unreadable)."""
    digest = hashlib.sha256()
    for source, content in zip(sources, hashes, strict=True):
        line = f"{source.name}\0{source.label}\0{source.split}\0{content}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _counted(values: Iterable[str], on_progress: Callable[[int], None]) -> Iterator[str]:
    for count, value in enumerate(values, start=1):
        on_progress(count)
        yield value


def _hash_file(source: Source) -> str:
    digest = hashlib.sha256()
    try:
        with open(source.path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def summarise_rows(rows: Iterable[Row], classes: list[str]) -> dict[str, Any]:
    """Counts over the manifest, as `dataset.json` keeps them.

    Returns:
        `found`, `ignored`, `train`, `eval`, `quarantined`, `duplicates` (exact copies beyond the first), `classes`,
        `per_class` {split: {class: count}}, `reasons` {reason: count}, `formats` {format: count}, `bytes`.
    """
    rows = list(rows)
    examples = [row for row in rows if not row.reason and not row.ignored]
    per_class = {split: dict.fromkeys(classes, 0) for split in features.SPLITS}
    for row in examples:
        per_class[row.split][row.label] += 1
    return {
        "found": len(rows),
        "ignored": sum(row.ignored for row in rows),
        "train": sum(per_class[features.TRAIN_SPLIT].values()),
        "eval": sum(per_class[features.EVAL_SPLIT].values()),
        "quarantined": sum(bool(row.reason) for row in rows),
        "duplicates": len(examples) - len({row.sha256 for row in examples}),
        "classes": classes,
        "per_class": per_class,
        "reasons": dict(Counter(row.reason for row in rows if row.reason)),
        "formats": dict(Counter(row.format for row in examples)),
        "bytes": sum(row.bytes for row in examples),
    }
