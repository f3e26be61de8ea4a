"""Which level of folders is one of splits, and what is in each split."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from components.sources.layout.shapes import FolderShape, telling_of
from components.sources.layout.splits import EVAL, TEST, TRAIN, kind_of, looks_like_split, read_level


class Level(NamedTuple):
    """A level of folders that are splits.

    Attributes:
        depth: how many levels are above it.
        kinds: of each name in it.
        repeats: how many levels below it only say the same again, as in `train/train/cats`.
    """

    depth: int
    kinds: dict[str, str]
    repeats: int = 0

    def cut(self, folder: str) -> tuple[str, str]:
        """The kind of split that a folder is in, and its path without that level; no kind: it is in none."""
        parts = folder.split("/")
        name = parts[self.depth] if len(parts) > self.depth else ""
        kind = self.kinds.get(name, "")
        inner = parts[self.depth + 1 + self.repeats :]
        return kind, "/".join((*parts[: self.depth], *inner)) if kind else folder

    def says_again(self, path: list[str], repeats: int) -> bool:
        """Whether a folder so many levels below the split has its name, or one of its kind; or the path ends before."""
        depth = self.depth + repeats
        return (
            len(path) <= depth
            or path[depth] == path[self.depth]
            or kind_of(path[depth]) == self.kinds[path[self.depth]]
        )


def find_level(shape: FolderShape, partly: bool = False) -> Level | None:
    """The level at which the path to every image names a split; partly: some do, of train and another side."""
    telling = telling_of(shape)
    paths = [folder.split("/") for folder, kind in shape.items() if kind >= telling and folder]
    for depth in range(max(map(len, paths), default=0)):
        names = {path[depth] if len(path) > depth else "" for path in paths}
        kinds = read_level(names)
        sides = set(kinds.values())
        if len(names) > 1 and (kinds.keys() == names or (partly and TRAIN in sides and sides & {EVAL, TEST})):
            return _with_repeats(
                Level(depth, kinds), [path for path in paths if len(path) > depth and path[depth] in kinds]
            )
    return None


def _with_repeats(level: Level, paths: list[list[str]]) -> Level:
    """The level, with the levels below it at which every path says the same again."""
    repeats, longest = 0, max(map(len, paths))
    while level.depth + repeats + 1 < longest and all(level.says_again(path, repeats + 1) for path in paths):
        repeats += 1
    return level._replace(repeats=repeats)


def kinds_with_classes(cut: Iterable[tuple[str, str]]) -> set[str]:
    """The kinds of split with class folders in them; a `test/images/` or `test/unlabeled/` is none.

    Args:
        cut: of folders: the kind of split, and the path below it.
    """
    found = [(kind, rest) for kind, rest in cut if rest]
    plain = {kind for kind, rest in found if not all(map(looks_like_split, rest.split("/")))}
    return plain or {kind for kind, _ in found}
