"""What objects of `pipeline.api` show in a notebook: HTML with every text escaped, and a run's page in a sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

HEIGHT = 640  # pixels of a page that is shown inline; it scrolls inside
COLORS = {"good": "#2f7d4f", "bad": "#a15c00"}


def headline(text: str, is_good: bool) -> str:
    """Makes a line that stands out."""
    return f'<p style="font-weight:600;color:{COLORS["good" if is_good else "bad"]}">{escape(text)}</p>'


def bullets(lines: Iterable[str]) -> str:
    """Makes a list; empty without lines."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def table(rows: Iterable[tuple[str, ...]], head: tuple[str, ...] = ()) -> str:
    """Makes a table, a row a tuple of cells."""
    first = "<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{first}{body}</table>"


def page(path: Path | None) -> str:
    """Shows an HTML file inline: its scripts run in a sandbox and reach nothing of the notebook; empty without one."""
    if path is None:
        return ""
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return f"<p>The page cannot be read: {escape(str(path))}</p>"
    frame = f'width="100%" height="{HEIGHT}" style="border:1px solid #8884" sandbox="allow-scripts" title="Report"'
    return f'<iframe {frame} srcdoc="{escape(content, quote=True)}"></iframe><p>{escape(str(path))}</p>'
