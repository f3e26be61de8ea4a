"""Charts as inline SVG."""

import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from components.report.charts import FIRST, INK, draw_chart


def line_chart(title="Loss by epoch"):
    return draw_chart(title, lambda axes: axes.plot([0, 1, 2], [3.0, 2.0, 1.5], color=FIRST, label="train"))


def test_the_style_sheet_colours_a_chart():
    svg = line_chart()
    assert "var(--first)" in svg
    assert "var(--ink)" in svg
    assert not re.search(f"{FIRST}|{INK}", svg)
    assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour that dark mode cannot change"


def test_a_chart_is_a_picture_with_a_title_and_searchable_text():
    svg = line_chart('a < b & "c"')
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'a < b & "c"'
    assert {"width", "height"} & set(root.attrib) == set()  # the page gives the room
    assert "".join(root.itertext()).split()


def test_a_chart_is_the_same_in_each_run_and_names_nothing_of_another_chart():
    ids = [set(re.findall(r'id="(\w+)"', line_chart(title))) for title in ("first", "second")]
    assert line_chart() == line_chart()
    clips = [{name for name in found if name.startswith("p") and len(name) > 8} for found in ids]
    assert clips[0]
    assert not clips[0] & clips[1]


def test_a_chart_is_drawn_once(monkeypatch):
    """`savefig` draws a figure without output first, to have it laid out."""
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw(figure, renderer))
    line_chart()
    assert len(drawn) == 1
