"""Classes in the names of files: Kaggle's `cat.0.jpg`, `dog.0.jpg`; where asked for, `yellow_lily_12.jpg`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

NUMBERED = re.compile(r"(.*?)[\s._-]*(?:\(\d+\)|\d+)", re.DOTALL)
DOTTED = re.compile(r"[^\W\d][^\d.]*\.\d+")
# What cameras, phones and programs call their files: no classes.
CAMERA = re.compile(r"img|images?|dsc[nf]?|p|pic|picture|photo|foto|scan|frame|file|untitled|screenshot", re.IGNORECASE)


def label_of_name(name: str) -> str:
    """The class in a file's name: what stands before its number; empty where one of them is missing."""
    found = NUMBERED.fullmatch(os.path.splitext(name.rpartition("/")[2])[0])
    return found[1] if found and any(map(str.isalpha, found[1])) else ""


def tell_classes(names: Iterable[str]) -> bool:
    """Whether the names of all files are `<class>.<number>`, of two classes or more, each of two files or more."""
    counts: dict[str, int] = {}
    for name in names:
        stem = os.path.splitext(name.rpartition("/")[2])[0]
        if not DOTTED.fullmatch(stem):
            return False
        label = label_of_name(name)
        counts[label] = counts.get(label, 0) + 1
    return len(counts) > 1 and min(counts.values()) > 1 and may_be_classes(counts, sum(counts.values()))


def may_be_classes(labels: Iterable[str], files: int) -> bool:
    """Whether what stands before the numbers may be classes: not what a camera writes, nor another one in each file."""
    labels = list(labels)
    return 2 * len(labels) <= files and not any(map(CAMERA.fullmatch, labels))
