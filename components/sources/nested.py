"""Archives and TFRecords among the files of a folder or archive, told by content: read in place, or named.

Where no file is named like an image, archives are what holds the data: each is read as if it were a folder of its name.
Beside images an archive may be what these were unpacked from, so it is left aside.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from components.errors import InputError
from components.files.paths import is_remote
from components.images.formats import IMAGE_SUFFIXES, sniff_format
from components.options.data import DataOptions
from components.sources import table
from components.sources.content import remote
from components.sources.content.packing import PACKINGS
from components.sources.content.streams import MEMBER, member_path, open_binary, open_stream, open_unpacked
from components.sources.formats.archives import READ_ERRORS, ZIP_STARTS, is_tar, walk_archive
from components.sources.layout.filenames import why_ignored
from components.sources.listing import IGNORED, Source, Tree

READ, IMAGE = ("zip", "tar"), "image"
PACKED = {  # archives that nothing here reads, by their first bytes
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"LZIP": "packed with lzip",
    b"\x1f\x9d": "packed with compress",
    b"\x1f\xa0": "packed with compress",
    b"PK\x07\x08": "the first part of a zip archive in several parts",
    b"MSCF": "a Cabinet archive",
    b"!<arch>\n": "an ar archive",
    b"07070": "a cpio archive",
    b"xar!": "a xar archive",
    b"hsqs": "a SquashFS image",
}
TABLE_FILES = {  # likewise, what may hold images as values
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3\0": "an SQLite database",
}
UNPACK = "Unpack it and give the folder, or pack it again as .zip, .tar or .tar.gz."
SUFFIX = re.compile(
    r"\.(zip|tar|tgz|tbz2?|txz|tzst|7z|rar|cab|cpio|zst|lz4|lz|z|(tar\.)?(gz|bz2|xz|zst|lz4|lz|z))$", re.IGNORECASE
)
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tzst|7z|rar|tar\.\w+)$", re.IGNORECASE)  # never anything else
PART = re.compile(r"([-_. ]|(^|(?<=/))(?=\d{5}))\d{3,}$")  # the number of an archive that is a part of a whole
MOST_DEPTH = 2  # archives around a file, besides the one that is the data path
MOST_FILES = 2_000_000  # in archives inside others; no declared number is trusted


def open_archives(tree: Tree, options: DataOptions, depth: int = 0) -> None:
    """Puts the content of archives among the files of a tree into the tree, and finds the TFRecords among them.

    Raises:
        InputError: an archive that must hold the data cannot be read.
    """
    leave_aside(tree)
    if any(file.kind == "file" and file.path == tree.root for file in tree.files[:1]):
        return  # a file that is given alone
    files = [file for file in tree.files if not file.problem and not file.name.endswith("/")]
    kinds, has_images = _kinds(files, options.layout)
    archives = {file: kind for file, kind in kinds.items() if kind and kind not in table.INGEST_FORMATS}
    records = next((name for name in table.INGEST_FORMATS if name in kinds.values()), "")
    tree.records = {file.name for file, kind in kinds.items() if records and kind == records}
    if has_images or tree.records:
        _set_aside(tree, {file.name for file in archives}, "archive")
    else:
        _refuse_unread(tree, archives)
    if archives and not has_images and not tree.records:
        opened = _open_all(tree, archives, options, depth)
        tree.files = [file for file in tree.files if file not in opened]
        prefixes = _prefixes(tree, opened)
        for file, inner in opened.items():
            _merge(tree, file, inner, prefixes[file])
        tree.container += " of archives"
        records = next((inner.holds for inner in opened.values() if inner.holds), "")
    if records and options.layout != records and any(_is_image_name(file.name) for file in tree.files):
        _set_aside(tree, tree.records, "records")
    else:
        tree.holds = records


def leave_aside(tree: Tree) -> None:
    """Takes the files that no layout reads out of a tree."""
    whys = [why_ignored(file.name) for file in tree.files]
    tree.ignored += [(file.name, why) for file, why in zip(tree.files, whys, strict=True) if why]
    tree.aside = [file for file, why in zip(tree.files, whys, strict=True) if why]
    tree.files = [file for file, why in zip(tree.files, whys, strict=True) if not why]


def say_aside(ignored: list[tuple[str, str]]) -> str:
    """Describes the first file left aside that may hold what is missing; for the end of a sentence."""
    return "".join(f"; {line}" for line in say_left(ignored)[:1])


def say_left(ignored: list[tuple[str, str]]) -> list[str]:
    """Describes the archives and TFRecords that were left aside, a line a reason."""
    left = {why: sorted(name for name, reason in ignored if reason == why) for why in ("archive", "records")}
    more = {why: f" and {len(names) - 1:,} more" if len(names) > 1 else "" for why, names in left.items()}
    return [f"left aside: {names[0]}{more[why]}, {IGNORED[why]}" for why, names in left.items() if names]


def _set_aside(tree: Tree, names: set[str], why: str) -> None:
    tree.ignored += [(file.name, why) for file in tree.files if file.name in names]
    tree.files = [file for file in tree.files if file.name not in names]


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _kinds(files: list[Source], layout: str) -> tuple[dict[Source, str], bool]:
    """Finds the kind of each file by content, and whether images are among them.

    Where there are images, only files that are named like archives or records are looked into.
    """
    others = [file for file in files if not _is_image_name(file.name)]
    is_asked = any(layout == name for name, file in table.file_formats() if file.is_content)
    if is_asked or len(others) == len(files):
        kinds = dict(_sniff_all(others))
        if is_asked or IMAGE not in kinds.values():
            return kinds, len(others) < len(files)
    named = [file for file in files if SUFFIX.search(file.name) or table.format_by_name(file.name)]
    return {file: kind for file, kind in _sniff_all(named) if kind != IMAGE}, True


def _sniff_all(files: list[Source]) -> Iterator[tuple[Source, str]]:
    """Each file with its kind, in the order of storage, up to the first that is an image without a suffix."""
    files = sorted(files, key=lambda file: (file.path, file.position))
    at_once = any(is_remote(file.path) for file in files[:1])
    with ThreadPoolExecutor(remote.CALLS) as pool:
        for file, kind in zip(files, (pool.map if at_once else map)(_sniff, files), strict=True):
            yield file, kind
            if kind == IMAGE:
                return


def _sniff(file: Source) -> str:
    kind = kind_of_content(file)
    if kind == IMAGE and os.path.splitext(file.name)[1]:
        return ""
    return kind or table.format_by_name(file.name)


def kind_of_content(file: Source) -> str:
    """Returns `zip`, `tar`, `image`, a key of `table.INGEST_FORMATS`, words for other packings, or an empty text."""
    try:
        head = block = _head(file)
        if head[:4] in ZIP_STARTS:
            return "zip"
        if found := next((words for magic, words in (PACKED | TABLE_FILES).items() if head.startswith(magic)), ""):
            return found
        if any(map(head.startswith, PACKINGS)):
            with open_unpacked(member_path(file)) as stream:
                block = stream.read(tarfile.BLOCKSIZE)
    except READ_ERRORS:
        return ""
    if records := table.format_by_content(block):
        return records
    return IMAGE if sniff_format(head) else "tar" if is_tar(block) else ""


def _head(file: Source) -> bytes:
    """The first 512 bytes of a file; in a packed archive the next file is near from there."""
    if file.kind == "tar":
        with open_stream(file.path) as stream:
            stream.seek(file.position)
            return stream.read(min(file.size, tarfile.BLOCKSIZE))
    with open_binary(member_path(file)) as opened:
        return opened.read(tarfile.BLOCKSIZE)


def _refuse_unread(tree: Tree, archives: dict[Source, str]) -> None:
    """Refuses the data where an archive of it cannot be read: what it holds would be missing without a word."""
    can_do = any(kind in READ for kind in archives.values())
    for file in tree.files:
        kind = archives.get(file, "")
        if kind in PACKED.values() or (kind in TABLE_FILES.values() and not can_do):
            raise InputError(refusal(_shown(tree, file), kind))
        if ARCHIVE.search(file.name) and not kind and not file.problem:
            raise InputError(
                f"data.path: {_shown(tree, file)} is called an archive, but is none ({file.size:,} bytes).\n"
                "Fetch or make it again, or take it away."
            )


def _shown(tree: Tree, file: Source) -> str:
    return f"{file.name} in {tree.root.partition(MEMBER)[0]}"


def refusal(name: str, kind: str) -> str:
    """Describes a file that is packed in a way that nothing here reads, with the way out."""
    way = UNPACK if kind in PACKED.values() else "Write its images into a folder a class, or into TFRecords."
    return f"data.path: {name} is {kind}, which cannot be read here.\n{way}"


def _open_all(tree: Tree, archives: dict[Source, str], options: DataOptions, depth: int) -> dict[Source, Tree]:
    """Lists the content of the archives among the files of a tree."""
    opened, total = dict[Source, Tree](), 0
    for file, kind in archives.items():
        if kind not in READ:
            continue
        if depth == MOST_DEPTH:
            raise InputError(f"data.path: {_shown(tree, file)} is an archive too deep in others.\n{UNPACK}")
        opened[file] = walk_archive(member_path(file), kind, _shown(tree, file))
        open_archives(opened[file], options, depth + 1)
        total += len(opened[file].files)
        if total > MOST_FILES:
            raise InputError(f"data.path: {_shown(tree, file)} and others hold over {MOST_FILES:,} files.\n{UNPACK}")
    return opened


def _merge(tree: Tree, file: Source, inner: Tree, prefix: str) -> None:
    """Puts what an archive holds into the tree, its names after the prefix."""
    facts: dict[str, Any] = {"mtime_ns": file.mtime_ns, "inode": file.inode}
    tree.files += [replace(one, name=prefix + one.name, **facts) for one in inner.files]
    tree.refused += [replace(one, name=f"{file.name}/{one.name}", **facts) for one in inner.refused]
    tree.ignored += [(prefix + name, why) for name, why in inner.ignored]
    tree.records |= {prefix + name for name in inner.records}
    tree.parts += [prefix + name for name in inner.parts]
    tree.folders += [prefix + name for name in inner.folders] + ([prefix[:-1]] if prefix else [])


def _prefixes(tree: Tree, opened: dict[Source, Tree]) -> dict[Source, str]:
    """The folder that each archive stands for: its name, without the number where several are parts of one whole.

    They are where there are several folders in them; otherwise they may as well be classes, and a person is asked.
    """
    groups: defaultdict[str, list[Source]] = defaultdict(list)
    for file in opened:
        groups[PART.sub("", SUFFIX.sub("", file.name))].append(file)
    prefixes = {}
    for whole, files in groups.items():
        names = [one.name for file in files for one in opened[file].files]
        folders = {name.rpartition("/")[0] for name in names if _is_image_name(name)}
        are_parts = len(files) > 1 and any(PART.search(SUFFIX.sub("", file.name)) for file in files)
        if are_parts and len(folders) < 2:
            tree.parts += [file.name for file in files]
        for file in files:
            name = whole if are_parts and len(folders) > 1 else SUFFIX.sub("", file.name)
            prefixes[file] = _prefix(name, opened[file])
    return prefixes


def _prefix(name: str, inner: Tree) -> str:
    """A folder of a name, and a slash; around nothing but a folder of the same name, the folder that this is in."""
    folder, _, own = name.rpartition("/")
    tops = {member.partition("/")[0].casefold() for member in (*inner.folders, *(file.name for file in inner.files))}
    around = tops == {own.casefold()} and all("/" in file.name for file in inner.files)
    return "".join(f"{part}/" for part in (folder, "" if around else own) if part)
