"""What a section of the page is: the uniform names of the modules in `sections/`."""

from __future__ import annotations

from typing import Any, Protocol

from components.report.inputs import ReportInputs
from components.report.pictures import Pictures

Facts = dict[str, Any]  # JSON values, for the section's template


class Section(Protocol):
    """A section of the page.

    Attributes:
        TITLE: the heading.
        TEMPLATE: file name of the template, beside the module. It sees `facts`, what `gather` gave; `run`, what a run
            knows beside its artifacts (see `components/report/page.py`); and the macros of `macros.html`.

    A section whose facts take long may have a function `want`, with the arguments of `gather`, which asks for the same
    pictures: they are drawn before `gather` is called, while a thread makes what it needs (`ahead.py`).
    """

    TITLE: str
    TEMPLATE: str

    def gather(self, inputs: ReportInputs, pictures: Pictures) -> Facts | str:
        """Gathers what the template shows, and asks for the pictures of it.

        Returns:
            JSON values; or a sentence on why there is nothing to show.
        """
