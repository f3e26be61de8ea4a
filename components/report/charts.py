"""Charts as inline SVG: Matplotlib draws, the page's style sheet colours, and a screen reader reads a title."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that Matplotlib writes, and the style sheet's variables that take their place: light and dark are one SVG.
INK, FAINT, FIRST, SECOND, GOOD, BAD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", FAINT: "line", FIRST: "first", SECOND: "second", GOOD: "good", BAD: "bad"}
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and found by a search in the page
    "font.family": ["DejaVu Sans"],  # Matplotlib's own, to measure by; the style sheet shows that of the page
    "font.size": 10,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "axes.grid": True,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def draw_chart(title: str, plot: Callable[[Axes], None], size: tuple[float, float] = (5.2, 3.2)) -> str:
    """Draws a chart as SVG text.

    Args:
        title: what the chart shows, in words; read by screen readers.
        plot: draws into the axes, with the colours of this module.
        size: width and height in inches; the page scales the chart to the room that there is.
    """
    import matplotlib  # half a second: a page without artifacts has no chart
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    # With a salt of its own, ids are the same in each run, and differ by chart.
    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": title}):
        figure = Figure(figsize=size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        plot(figure.subplots())
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})  # `savefig` would draw it twice
    return _to_inline(buffer.getvalue(), title)


def _to_inline(svg: str, title: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1), count=1
    )
    for colour, name in VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    return body.replace("<svg", f'<svg role="img" aria-label="{escape(title)}" class="chart"', 1)
