"""`graft models verify`: whether a version is what was pushed, byte for byte."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from components import pointer, versions
from components.errors import InputError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Report:
    """What a version is against its passport.

    Attributes:
        version: its number.
        files: how many were compared.
        missing, changed, extra: paths of files below the version.
        reasons: why nothing could be compared, or what is wrong with the passport itself.
    """

    version: int
    files: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every file is there, unchanged, and nothing else."""
        return not self.problems() and not self.reasons

    def problems(self) -> list[tuple[str, str]]:
        """Each file that is wrong: `missing`, `changed` or `extra`, and its path."""
        kinds = {"missing": self.missing, "changed": self.changed, "extra": self.extra}
        return [(kind, name) for kind, names in kinds.items() for name in names]


def verify_version(serving: Path, number: int) -> Report:
    """Compares every file of a version with the digests in its passport, and the passport with the one of its push."""
    folder = serving / str(number)
    try:
        expected = versions.read_passport(folder).get("files")
    except InputError as error:
        return Report(number, reasons=str(error).splitlines()[:1])
    if not expected:
        return Report(
            number, reasons=["its passport holds no digests of files: Graft did not push it, or an older one"]
        )
    found = digest_files(folder)
    own = found.pop(versions.PASSPORT_FILE)
    return Report(
        number,
        len(expected),
        sorted(expected.keys() - found.keys()),
        sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name]),
        sorted(found.keys() - expected.keys()),
        _judge_passport(serving, number, own),
    )


def _judge_passport(serving: Path, number: int, digest: str) -> list[str]:
    """The pointer remembers the digest of each passport since its push."""
    try:
        found = pointer.read_pointer(serving)
    except InputError:
        return []  # what is wrong with the pointer is no fault of this version
    pushed = [e.passport_sha256 for e in (found.history if found else ()) if e.version == number and e.passport_sha256]
    return [f"{versions.PASSPORT_FILE} is not the one that was pushed"] if pushed and pushed[-1] != digest else []


def digest_files(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path below it."""
    paths = [Path(current, name) for current, _, names in os.walk(folder) for name in names]
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(paths)}


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
