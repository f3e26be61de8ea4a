"""Whether a version of a serving directory is what was pushed, byte for byte.

A version's passport holds the digest of every file, and the pointer that of the passport. Both lie in the same folder,
so this finds damage and careless edits; it is no proof against who can write all three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from components.errors import InputError, first_line
from components.files.digests import digest_files, digest_of
from components.registry import pointer, versions

PROBLEMS_SHOWN = 3  # problems that one line names
UNKNOWN = "its passport holds no digests of files: Graft did not push it, or an older one"


@dataclass(frozen=True)
class Report:
    """The comparison of a version with its passport.

    Attributes:
        version: its number.
        files: how many were compared.
        missing, changed, extra: paths of files below the version.
        reasons: why nothing could be compared, or what is wrong with the passport itself.
        passport_sha256: of the passport as it is; empty where there is none.
        recorded: whether the pointer remembers the digest of this passport since its push, and it is that one.
    """

    version: int
    files: int = 0
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    passport_sha256: str = ""
    recorded: bool = False

    @property
    def clean(self) -> bool:
        """Whether every file is there, unchanged, and nothing else."""
        return not self.problems() and not self.reasons

    def problems(self) -> list[tuple[str, str]]:
        """Each file that is wrong: `missing`, `changed` or `extra`, and its path."""
        kinds = {"missing": self.missing, "changed": self.changed, "extra": self.extra}
        return [(kind, name) for kind, names in kinds.items() for name in names]

    @property
    def damage(self) -> str:
        """The damage in one line; empty where there is none, or where nothing is known of the version."""
        if self.reasons == [UNKNOWN]:
            return ""
        found = [*self.reasons, *(f"{what}: {name}" for what, name in self.problems())]
        more = f", and {len(found) - PROBLEMS_SHOWN} more" if len(found) > PROBLEMS_SHOWN else ""
        return ", ".join(found[:PROBLEMS_SHOWN]) + more


def verify_version(serving: Path, number: int) -> Report:
    """Compares every file of a version with the digests in its passport, and the passport with the one of its push."""
    return _verify(serving / str(number), number)


def find_damage(serving: Path, number: int) -> str:
    """Says in one line how a version is damaged; empty where it is not."""
    return verify_version(serving, number).damage


def check_passport(serving: Path, number: int) -> None:
    """Refuses a passport that says other things than at its push; one that no pointer remembers is let through.

    Raises:
        InputError: it was edited, or is damaged.
    """
    path, pushed = serving / str(number) / versions.PASSPORT_FILE, _recorded_digest(serving, number)
    if pushed and (not path.is_file() or digest_of(path) != pushed):
        raise InputError(
            f"{path} is not the one that was pushed: what it says of its model's accuracy is no limit to hold a "
            f"candidate against.\nPut it back, or move version {number} out of {serving}."
        )


def check_baseline(serving: Path, number: int) -> None:
    """Refuses a baseline that is not as it was pushed.

    One that is not there at all is let through: it is no baseline, and who asks for it says so.

    Raises:
        InputError: names the first files that are wrong.
    """
    if number in versions.list_versions(serving) and (damage := find_damage(serving, number)):
        raise InputError(
            f"Version {number} in {serving} is not as it was pushed ({damage}): no candidate can be compared with it.\n"
            f"Serve a whole one: graft models rollback {serving}, or promote; or run again what made this one (its "
            "configuration, on its data), which pushes it anew; or move the folder away and start anew."
        )


def check_folder(folder: Path) -> None:
    """Refuses a version that is not as it was pushed; a model of others, without digests, is let through.

    Args:
        folder: of the version; where its name is a number, the pointer beside it is asked, too.

    Raises:
        InputError: names the first files that are wrong.
    """
    folder = folder.resolve()
    is_version = folder.name.isdecimal()
    if damage := _verify(folder, int(folder.name) if is_version else 0).damage:
        anew = f"Serve a whole one: graft models rollback {folder.parent}; or run again, which pushes this model anew."
        raise InputError(f"{folder} is not as it was pushed ({damage}).\n{anew if is_version else 'Copy it again.'}")


def _verify(folder: Path, number: int) -> Report:
    try:
        own = digest_of(folder / versions.PASSPORT_FILE)
        expected = versions.read_passport(folder).get("files")
    except FileNotFoundError:
        own, expected = "", None
    except (InputError, OSError) as error:
        return Report(number, reasons=[first_line(error)])
    pushed = _recorded_digest(folder.parent, number)
    reasons = [f"{versions.PASSPORT_FILE} is not the one that was pushed"] if pushed and own and pushed != own else []
    if not isinstance(expected, dict) or not expected:
        missing = [versions.PASSPORT_FILE] if pushed and not own else []
        return Report(number, missing=missing, reasons=reasons or ([] if missing else [UNKNOWN]), passport_sha256=own)
    found = digest_files(str(folder), _digest_or_reason)
    found.pop(versions.PASSPORT_FILE, None)
    return Report(
        number,
        len(expected),
        sorted(expected.keys() - found.keys()),
        sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name]),
        sorted(found.keys() - expected.keys()),
        reasons,
        own,
        bool(pushed) and not reasons,
    )


def _recorded_digest(serving: Path, number: int) -> str:
    """Reads the digest of a version's passport that the pointer remembers since its push; empty: it has none."""
    try:
        found = pointer.read_pointer(serving)
    except InputError:
        return ""  # what is wrong with the pointer is no fault of this version
    pushed = [e.passport_sha256 for e in (found.history if found else ()) if e.version == number and e.passport_sha256]
    return pushed[-1] if pushed else ""


def _digest_or_reason(path: str) -> str:
    """sha256 of a file; of one that cannot be read, why, which is no digest."""
    try:
        return digest_of(path)
    except OSError as error:
        return first_line(error)
