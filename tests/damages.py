"""What can happen to a folder of files: each row damages one; to add a kind, add a row."""

import random
from collections.abc import Callable
from pathlib import Path


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip_byte(path: Path, number: random.Random) -> None:
    """One byte of a file becomes another one; an empty file gets one."""
    content = bytearray(path.read_bytes()) or bytearray(1)
    content[number.randrange(len(content))] ^= 1 << number.randrange(8)
    path.write_bytes(content)


def _flip(folder: Path) -> None:
    number = random.Random(1)
    flip_byte(number.choice(files_of(folder)), number)


def _cut(folder: Path) -> None:
    largest = max(files_of(folder), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])


def _swap(folder: Path) -> None:
    """Two files of the folder that differ change places, or two halves of a file."""
    first, *others = [path for path in files_of(folder) if path.stat().st_size > 1]
    content = first.read_bytes()
    if unlike := [path for path in others if path.read_bytes() != content]:
        first.write_bytes(unlike[-1].read_bytes())
        unlike[-1].write_bytes(content)
    else:
        first.write_bytes(content[len(content) // 2 :] + content[: len(content) // 2])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped byte": _flip,
    "missing file": lambda folder: files_of(folder)[0].unlink(),
    "another file": lambda folder: (folder / "more").write_bytes(b""),
    "another name": lambda folder: files_of(folder)[-1].rename(files_of(folder)[-1].with_name("renamed")),
    "cut short": _cut,
    "swapped": _swap,
}


def damages_of(folder: Path) -> list[str]:
    """The rows of `DAMAGES` that mean something for a folder: nothing can be cut off empty files."""
    files = files_of(folder)
    if any(path.stat().st_size > 1 for path in files):
        return list(DAMAGES)
    return ["flipped byte", "missing file", "another file", "another name"] if files else ["another file"]
