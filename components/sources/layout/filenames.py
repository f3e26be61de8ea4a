"""Names that tell by themselves: classes (Kaggle's `cat.0.jpg`), and files of systems and tools."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

NUMBERED = re.compile(r"(.*?)[\s._-]*(?:\(\d+\)|\d+)", re.DOTALL)
NAME_AND_NUMBER = re.compile(r"[^\W\d][^\d.]*\.\d+")
# What cameras, phones and programs call their files: no classes.
CAMERA = re.compile(r"img|images?|dsc[nf]?|p|pic|picture|photo|foto|scan|frame|file|untitled|screenshot", re.IGNORECASE)


def label_of_name(name: str) -> str:
    """Returns the class in a file's name, before its number; empty where either is missing."""
    found = NUMBERED.fullmatch(os.path.splitext(name.rpartition("/")[2])[0])
    return found[1] if found and any(map(str.isalpha, found[1])) else ""


def tell_classes(names: Iterable[str]) -> bool:
    """Tells whether all names of files are `<class>.<number>`, of two classes or more, each of two files or more."""
    counts: dict[str, int] = {}
    for name in names:
        stem = os.path.splitext(name.rpartition("/")[2])[0]
        if not NAME_AND_NUMBER.fullmatch(stem):
            return False
        label = label_of_name(name)
        counts[label] = counts.get(label, 0) + 1
    return len(counts) > 1 and min(counts.values()) > 1 and may_be_classes(counts, sum(counts.values()))


def may_be_classes(labels: Iterable[str], files: int) -> bool:
    """Tells whether texts before numbers may be classes: not from a camera, nor different in each file."""
    labels = list(labels)
    return 2 * len(labels) <= files and not any(map(CAMERA.fullmatch, labels))


SYSTEM_NAMES = frozenset(
    name.casefold()
    for name in (
        # Windows
        *("Thumbs.db", "Thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "IconCache.db"),
        *("System Volume Information", "$RECYCLE.BIN", "RECYCLER", "RECYCLED", "$WinREAgent", "Config.Msi"),
        *("msdownld.tmp", "WPSettings.dat", "IndexerVolumeGuid", "Picasa.ini"),
        # macOS
        *("__MACOSX", "Icon\r", "Icon\uf00d", "Desktop DB", "Desktop DF", "AppleDouble", "Network Trash Folder"),
        *("Temporary Items", "TheVolumeSettingsFolder", "TheFindByContentFolder", "Backups.backupdb"),
        # Linux, Android
        *("lost+found", "LOST.DIR", "aquota.user", "aquota.group"),
        # Synology, QNAP, NetApp
        *("@eaDir", "@tmp", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "@__thumb", "~snapshot"),
        *("@sharebin", "@SynoResource", "@SynoEAStream", "@Transcode"),
        # tools
        *("__pycache__", "CVS"),
    )
)
SYSTEM_PATTERN = re.compile(r"found\.\d{3}|.*(@synoresource|@synoeastream|:zone\.identifier)", re.DOTALL)


def why_ignored(name: str) -> str:
    """Tells why a file is left aside whatever the layout: a key of `IGNORED`, or an empty string.

    Args:
        name: relative to the data, with `/`: one hidden or system folder in it is enough.
    """
    for part in name.split("/"):
        if part.startswith("."):
            return "hidden"
        if (folded := part.casefold()) in SYSTEM_NAMES or SYSTEM_PATTERN.fullmatch(folded):
            return "system"
    return ""
