"""Describes how folders are read; and where that is doubtful, asks a person.

A class that is none makes a wrong model, so folders that can be read in more than one way are not guessed.

What is doubtful is judged on the outcome, not on the rules: no list of names has all spellings of a split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from components.contract.names import canonical, key_of
from components.errors import InputError
from components.sources.layout.filenames import may_be_classes
from components.sources.layout.layouts import FOLDER_LAYOUTS, FolderPlan, plan_folders
from components.sources.layout.shapes import IMAGE_FILE, FolderShape, kind_of_file, look_below, merge_levels, telling_of
from components.sources.layout.splits import TRAIN, has_side, kinds_with_classes, looks_like_split, sharing_splits


def refuse_doubtful(root: str, names: list[str], shape: FolderShape, plan: FolderPlan) -> None:
    """Stops where what `data.layout: auto` makes of folders may not be what they mean.

    Args:
        root: the data path.
        names: of all files.
        shape: likewise.
        plan: how they would be read.

    Raises:
        InputError: says what is doubtful, how it can be read, and how each is asked for.
    """
    doubt = find_doubt(shape, plan)
    if not doubt:
        return
    readings = list(_readings(names, shape))
    ways = "".join(f"\n  --set data.layout={layout}  {meaning}" for layout, meaning in readings)
    says = f"Say which it is:{ways}\nor move" if ways else "Move"
    raise InputError(
        f"data.path: cannot tell what the folders in {root} mean: {doubt}.\n{says} the images into one folder a class "
        "(below train/ and val/, if you like), or name them in a manifest.csv with the columns path,label[,split]."
    )


def find_doubt(shape: FolderShape, plan: FolderPlan) -> str:
    """Describes the doubt about a plan; empty: there is none."""
    if plan.by_name:
        return ""
    if plan.level and plan.sides is not None and (doubt := _doubt_sides(shape, plan)):
        return doubt
    if len(plan.labels) < 2:
        return ""
    paths = sorted(plan.labels) if plan.nested else sorted(plan.paths)
    if odd := _odd_names(plan):
        return odd
    again = _recurring(map(merge_levels, paths))
    tops = {key_of(path.partition("/")[0]): path.partition("/")[0] for path in paths}
    if nested := [key for key in again if key in tops]:
        holders = sorted({parent for key in nested for parent in again[key] if parent})
        return f"a set nested in itself: {quote(tops[key] for key in nested)} again below {quote(holders)}"
    if len(again) > (0 if plan.nested else 1):
        parents = sorted(set().union(*again.values()))
        return f"folders of the same names ({quote(again)}) in {quote(parents)}"
    return ""


def _doubt_sides(shape: FolderShape, plan: FolderPlan) -> str:
    """Describes the doubt about a level of splits; empty: there is none."""
    level, telling = plan.level, telling_of(shape)
    if level is None:
        return ""
    below = look_below(shape, plan.prefix)
    cut = [level.cut(folder) for folder, kind in below.items() if kind >= telling]
    found, labelled = {kind for kind, _ in cut}, kinds_with_classes(cut)
    names = {kind: quote(name for name, of in level.kinds.items() if of == kind) for kind in found}
    if not labelled:
        return f"images directly in the split folders {', '.join(names.values())}, and no class folders in them"
    if TRAIN in found - labelled:
        return f"images directly in {names[TRAIN]}, and no class folders in it"
    if TRAIN not in found and len(found) > 1:
        return f"split folders ({', '.join(names.values())}), and none to train from"
    return ""


def _odd_names(plan: FolderPlan) -> str:
    """The names of classes, and of folders in classes, that look like those of splits or hold any pictures."""
    levels = {part for label in plan.labels for part in label.split("/")}
    deeper = {part for path in plan.paths for part in path.split("/")} if not plan.nested else set()
    odd = {name for name in levels if looks_like_split(name)} | {name for name in deeper if has_side(name)}
    odd |= set().union(*sharing_splits(levels | deeper))
    if not odd:
        return ""
    others = quote(levels - odd)
    return f"{quote(odd)} may be splits or parts of the data" + (f", beside {others}" if others else ", not classes")


def _recurring(paths: Iterable[str]) -> dict[str, set[str]]:
    """The names that folders in several other folders have, with those; the root is an empty string."""
    parents: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        parts = path.split("/")
        for depth, part in enumerate(parts):
            parents[key_of(part)].add("/".join(parts[:depth]))
    return {key: found for key, found in parents.items() if len(found) > 1}


def refuse_flat(root: str, names: list[str], shape: FolderShape, plan: FolderPlan) -> None:
    """Stops where images are there, but neither folders nor their names tell a class.

    Raises:
        InputError: how many there are and where, and what to do.
    """
    lying = [name for name in names if kind_of_file(name) == IMAGE_FILE]
    if not all(map(looks_like_split, plan.labels)) or len(plan.labels) > 1 or not lying:
        return
    folders = quote({name.rpartition("/")[0] or root for name in lying})
    ways = "".join(f"\nOr say it: --set data.layout={layout}  {meaning}" for layout, meaning in _readings(names, shape))
    raise InputError(
        f"data.path: {count_images(len(lying))} directly in {folders}, without classes.\n"
        "Move the images of each class into a sub-folder of their own, or name them in a manifest.csv with the columns "
        f"path,label.{ways}"
    )


def _readings(names: list[str], shape: FolderShape) -> Iterator[tuple[str, str]]:
    """The layouts that would give two classes or more, each with what it would make of the folders."""
    seen = []
    for layout in sorted(FOLDER_LAYOUTS, key=lambda layout: FOLDER_LAYOUTS[layout].offer):
        plan = plan_folders(shape, layout, names)
        if plan is None or len(plan.labels) < 2 or (plan.labels, plan.sides) in seen or not _is_plausible(plan, names):
            continue
        seen.append((plan.labels, plan.sides))
        yield layout, describe_plan(plan)


def _is_plausible(plan: FolderPlan, names: list[str]) -> bool:
    """Whether a reading is worth naming: folders may be called anything, paths and files tell something or do not."""
    if plan.by_name:
        return may_be_classes(plan.labels, len(names))
    return not (plan.nested and any(has_side(part) for path in plan.paths for part in path.split("/")))


NAMES_SHOWN = 4  # names of each kind
LEFT = {
    "outside_classes": "in no class's folder",
    "test_folder": "in a test split, beside a validation split",
    "unlabelled": "in a split without class folders",
}


def say_understood(plan: FolderPlan, layout: str, ignored: Iterable[tuple[str, str]], shape: FolderShape) -> list[str]:
    """Describes a plan that was carried out, in a few lines.

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
    """Counts images in words."""
    return f"{count:,} image{'s' * (count != 1)}"


def describe_plan(plan: FolderPlan) -> str:
    """Describes classes and sides of a plan, on one line."""
    labels = set(map(canonical, plan.labels))
    words = f"{len(labels):,} class{'es' * (len(labels) != 1)}, {quote(labels)}"
    if plan.prefix:
        words += f", in '{plan.prefix}'"
    return "; ".join(filter(None, (words, describe_sides(plan))))


def describe_sides(plan: FolderPlan) -> str:
    """Describes where each split folder goes; empty: there are none."""
    if plan.level is None or plan.sides is None:
        return ""
    goes: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in plan.level.kinds.items():
        side = plan.sides.get(kind)
        goes["left aside" if side is None or side.ignored else side.split or "split by content"].append(name)
    return ", ".join(f"{quote(names)}: {what}" for what, names in goes.items())


def quote(names: Iterable[str]) -> str:
    """Quotes a few names, and counts the others."""
    names = sorted(names)
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:NAMES_SHOWN]) + more
