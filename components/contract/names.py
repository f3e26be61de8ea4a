"""Which two names are one: of classes and paths as folders, archives, tables and people write them."""

from __future__ import annotations

import unicodedata


def canonical(name: str) -> str:
    """Composes a name's Unicode (NFC) and strips blanks: `café` of a Mac is that of any other machine."""
    return unicodedata.normalize("NFC", name).strip()


def key_of(name: str) -> str:
    """Folds case, width, blanks and invisible characters: names that people would take for one have one key.

    Args:
        name: of a class; one with levels, such as `animals/cats`, level by level.
    """
    levels = unicodedata.normalize("NFKC", name).split("/")
    return "/".join(_fold("".join(char for char in level if unicodedata.category(char) != "Cf")) for level in levels)


def _fold(level: str) -> str:
    return unicodedata.normalize("NFC", " ".join(level.split()).casefold())
