"""Which two names are one: of classes and paths as folders, archives, tables and people write them."""

from __future__ import annotations

import unicodedata


def canonical(name: str) -> str:
    """A name in composed Unicode (NFC), without blanks around it: `café` of a Mac is that of any other machine."""
    return unicodedata.normalize("NFC", name).strip()


def key_of(name: str) -> str:
    """What two names that people would take for one have in common: case, width, blanks and what is invisible.

    Args:
        name: of a class; one with levels, such as `animals/cats`, level by level.
    """
    levels = unicodedata.normalize("NFKC", name).split("/")
    return "/".join(_fold("".join(char for char in level if unicodedata.category(char) != "Cf")) for level in levels)


def _fold(level: str) -> str:
    return unicodedata.normalize("NFC", " ".join(level.split()).casefold())
