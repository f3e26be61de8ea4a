"""Shows one section as the page has it."""

from components.report.page import FAILED, render
from components.report.pictures import Pictures


def show(section, inputs, run=None) -> str:
    """Gathers one section, and gives the page with this section alone, white space made single."""
    pictures, name = Pictures(), section.__name__.rpartition(".")[2]
    found = section.gather(inputs, pictures)
    facts, note = (None, found) if isinstance(found, str) else (found, "")
    content = {"sections": {name: {"facts": facts, "note": note}}, "pictures": pictures.drawn, "missing": 0}
    html = " ".join(render(content, run).split())
    assert FAILED not in html, html[html.index(FAILED) :][:200]
    return html
