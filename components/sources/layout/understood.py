"""What was understood of the folders, and what was left aside, in a few plain lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from components.contract.names import canonical
from components.sources.layout.layouts import FOLDER_LAYOUTS, FolderPlan
from components.sources.layout.shapes import FolderShape, kind_of_file, telling_of

SHOWN = 4  # names of each kind
LEFT = {
    "outside_classes": "in no class's folder",
    "test_folder": "in a test split, beside a validation split",
    "unlabelled": "in a split without class folders",
}


def say_understood(plan: FolderPlan, layout: str, ignored: Iterable[tuple[str, str]], shape: FolderShape) -> list[str]:
    """What is said of a plan that was carried out.

    Args:
        plan: of the folders.
        layout: a key of `FOLDER_LAYOUTS`.
        ignored: names of files, each with why it was left aside.
        shape: of all files.
    """
    place = "above the splits" if plan.level and plan.level.depth else "below the splits"
    telling = telling_of(shape)
    counts = Counter(why for name, why in ignored if why in LEFT and kind_of_file(name.rpartition("/")[2]) >= telling)
    lines = [f"{FOLDER_LAYOUTS[layout].rule.format(place=place)}: {describe_plan(plan)}"]
    return lines + [f"left aside: {count_images(count)} {LEFT[why]}" for why, count in sorted(counts.items())]


def count_images(count: int) -> str:
    """A number of images, in words."""
    return f"{count:,} image{'s' * (count != 1)}"


def describe_plan(plan: FolderPlan) -> str:
    """What a plan makes of the folders, on one line."""
    labels = set(map(canonical, plan.labels))
    words = f"{len(labels):,} class{'es' * (len(labels) != 1)}, {quote(labels)}"
    if plan.prefix:
        words += f", in '{plan.prefix}'"
    return "; ".join(filter(None, (words, describe_sides(plan))))


def describe_sides(plan: FolderPlan) -> str:
    """Where each split folder goes; empty: there are none."""
    if plan.level is None or plan.sides is None:
        return ""
    goes: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in plan.level.kinds.items():
        side = plan.sides.get(kind)
        goes["left aside" if side is None or side.ignored else side.split or "split by content"].append(name)
    return ", ".join(f"{quote(names)}: {what}" for what, names in goes.items())


def quote(names: Iterable[str]) -> str:
    """A few names, quoted, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
