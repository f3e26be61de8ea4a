"""Names and sentences as Markdown shows them, letter by letter, whatever is in them.

Class names are whatever a folder or a table says: pipes, backticks, tags, line breaks, marks that turn the direction of
writing around. CommonMark takes a backslash before any ASCII punctuation, and character references for what HTML reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

MARKED = re.compile(r"([\\`*_{}\[\]#|~$^=])")
REFERENCES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
JOINERS = "\u200c\u200d"  # letters of Arabic and emoji are joined by them; other invisible letters only deceive
UNSEEN = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")  # Unicode's categories of what is not seen
ADDRESS = re.compile(r"(?i)\b(?:https?|ftp|mailto):|\bwww\.|@")  # GitHub makes links and mentions of them


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def escape(value: object) -> str:
    """Gives any text as one line of Markdown that shows just this text, also in the cell of a table."""
    if isinstance(value, Markdown):
        return value
    marked = MARKED.sub(r"\\\1", one_line(str(value)).translate(REFERENCES))
    return ADDRESS.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", marked)


def one_line(text: str) -> str:
    r"""Gives a text on one line: what cannot be seen stands as `\n`, `\x1b` or `\u202e`."""
    return "".join(x if is_visible(x) else x.encode("unicode_escape").decode() for x in text)


def is_visible(letter: str) -> bool:
    """Whether a letter is seen, or joins others that are."""
    return letter in JOINERS or unicodedata.category(letter) not in UNSEEN


def person_text(text: str) -> Markdown:
    """Gives a person's Markdown without its HTML: tags are shown as they stand, and nothing of them runs."""
    lines = ("".join(x for x in line.expandtabs(4) if is_visible(x)).rstrip() for line in text.strip().splitlines())
    return Markdown("\n".join(lines).replace("<", "&lt;"))


def person_line(text: str) -> Markdown:
    """Gives a person's Markdown on one line, also for the cell of a table."""
    return Markdown(" ".join(person_text(text).split()).replace("|", r"\|"))


def number(value: object, digits: int = 4, unknown: str = "unknown") -> str:
    """Gives a number for people: counts with separators, others with so many decimals; a word for None."""
    if value is None:
        return unknown
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def interval(bounds: object, digits: int = 4) -> str:
    """Gives both ends of an interval; empty where there is none."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        return ""
    return f"{number(float(bounds[0]), digits)} to {number(float(bounds[1]), digits)}"


def pairs(values: object) -> str:
    """Gives names with their values in one line: `png 896, jpeg 4`; what has no names as it is."""
    if not isinstance(values, Mapping):
        return str(values)
    return ", ".join(f"{name} {number(value) if isinstance(value, int) else value}" for name, value in values.items())
