"""The page: gathered from artifacts once, and written as one HTML file that needs no network and no server.

`gather_content` is the costly half and gives JSON values; `render` turns them into HTML, again for each run that has
the same content, since a run knows more than its artifacts: how it ended, its seconds, what it took from earlier runs.
"""

from __future__ import annotations

import base64
import importlib
import logging
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.report.inputs import EXAMPLES, ReportInputs
from components.report.pictures import Pictures
from components.report.section import Section

HERE = Path(__file__).parent
COMPARISON = "comparison.html"
FRAME = ("frame.html", "frame.css", "frame.js", "macros.html")
OF_SECTIONS = ("quality.css", "quality.js", "map.css", "map.js")  # inlined by the frame, too
SECTIONS = (
    "components.report.sections.verdict",
    "components.report.sections.served",
    "components.report.sections.data",
    "components.report.sections.learning",
    "components.report.sections.quality",
    "components.report.sections.mistakes",
    "components.report.sections.unknown",
    "components.report.sections.label_errors",
    "components.report.sections.map",
    "components.report.sections.provenance",
)
SCHEMA = 1
FAILED = "This section could not be made"

log = logging.getLogger("graft.report")


def load_sections() -> dict[str, Section]:
    """Loads all sections in the order of the page: {name of the module: the module}."""
    return {name.rpartition(".")[2]: importlib.import_module(name) for name in SECTIONS}


def gather_content(inputs: ReportInputs, tolerant: bool = True) -> dict[str, Any]:
    """Gathers what the page shows.

    Args:
        inputs: the artifacts of a run.
        tolerant: whether a section that fails leaves a note in its place; a page is no reason to lose a model. False:
            its error is raised.

    Returns:
        JSON values: `schema`; `sections` {name: {`facts`, null where there is nothing to show; `note`, why;
        `seconds`}}; `pictures` {key: `data:` URL}; `missing`: how many pictures did not fit.
    """
    pictures, loaded = Pictures(), load_sections()
    wants = {name: section.want for name, section in loaded.items() if hasattr(section, "want")}
    gather = partial(_gather, inputs=inputs, pictures=pictures, tolerant=tolerant)
    with ThreadPoolExecutor(1) as pool:
        if inputs.model:
            _begin_numbers(pool, inputs)
        made = {name: gather(name, section) for name, section in loaded.items() if name not in wants}
        for want in wants.values():
            with suppress(Exception):  # its section meets it again
                want(inputs, pictures)
        found = _fetch(inputs, pictures, tolerant)
        made |= {name: gather(name, loaded[name]) for name in wants}
    missing = len(pictures.thumbs) + len(pictures.maps) + len(pictures.drawn) - len(found)
    sections = {name: made[name] for name in loaded}
    return {"schema": SCHEMA, "sections": sections, "pictures": found, "missing": missing}


def _begin_numbers(pool: ThreadPoolExecutor, inputs: ReportInputs) -> None:
    """Begins in a thread what takes long and leaves Python to others."""
    from components.report.ahead import make_numbers  # with its libraries, which a page without a model does without

    _ = inputs.row_of  # read before two threads want it
    pool.submit(make_numbers, inputs)


def _fetch(inputs: ReportInputs, pictures: Pictures, tolerant: bool) -> dict[str, str]:
    """Reads and draws the pictures: {key: `data:` URL}."""
    started, found = time.monotonic(), dict[str, str]()
    try:
        if EXAMPLES in inputs.uris:
            found = pictures.fetch(inputs.uris[EXAMPLES], inputs.model, inputs.facts)
    except Exception:
        if not tolerant:
            raise
        log.exception("the pictures of the page cannot be read")
    log.info("pictures: %d in %.1f s", len(found), time.monotonic() - started)
    return found | pictures.drawn


def is_current(content: dict[str, Any]) -> bool:
    """Tells whether content has the sections of today's page; an earlier Graft may have gathered others."""
    return content.get("schema") == SCHEMA and content["sections"].keys() == load_sections().keys()


def _gather(name: str, section: Section, inputs: ReportInputs, pictures: Pictures, tolerant: bool) -> dict[str, Any]:
    started = time.monotonic()
    try:
        found = section.gather(inputs, pictures)
    except Exception as error:
        if not tolerant:
            raise
        log.exception("the section %s of the page cannot be made", name)
        found = f"{FAILED}: {type(error).__name__}: {error}"
    seconds = round(time.monotonic() - started, 3)
    log.info("section %s: %.1f s", name, seconds)
    facts, note = (None, found) if isinstance(found, str) else (found, "")
    return {"facts": facts, "note": note, "seconds": seconds}


def find_corrections(content: dict[str, Any]) -> bytes | None:
    """Gives the CSV file of likely label errors, for `data.corrections`; None where no label was judged."""
    found = content["sections"].get("label_errors", {}).get("facts")
    return base64.b64decode(found["csv"]) if found else None


def render(content: dict[str, Any], run: dict[str, Any] | None = None) -> str:
    """Writes the page as HTML.

    Args:
        content: of `gather_content`.
        run: what only a run knows: `summary`, of summary.json; `command`, as it was typed; `config`, as YAML;
            `folder`, where page and CSV file are; of a pushed version `serving`, the directory that it is in,
            and `passport`, of `provenance.list_entries`. None: the page of a task on a cluster, which does not know
            how the run ends.
    """
    pictures, found = content["pictures"], content["sections"]
    sections = [
        {"name": name, "title": section.TITLE, **found[name], **_write(f"sections/{section.TEMPLATE}", **known)}
        for name, section in load_sections().items()
        if name in found and (known := {"facts": found[name]["facts"], "pictures": pictures, "run": run})
    ]
    return _fill_frame(sections, content["missing"], run)


def render_comparison(facts: dict[str, Any], title: str) -> str:
    """Writes the page of two runs side by side; `facts` are those of `pipeline/report/compare.py`."""
    known = {"facts": facts, "pictures": {}, "run": None}
    section = {"name": "runs", "title": "Two runs side by side", **_write(COMPARISON, **known)}
    return _fill_frame([section], 0, None, title)


def _write(template: str, **known: Any) -> dict[str, Any]:
    """Writes the body of a section as HTML: {`body`}; {} where it has no facts, {`note`} where the template fails."""
    if known["facts"] is None:
        return {}
    try:
        return {"body": Markup(_environment().get_template(template).render(**known))}
    except Exception as error:
        log.exception("the section %s of the page cannot be written", template)
        return {"note": f"{FAILED}: {type(error).__name__}: {error}"}


def _fill_frame(sections: list[dict[str, Any]], missing: int, run: dict[str, Any] | None, title: str = "") -> str:
    """Fills the frame of a page: its sections, each with `name`, `title`, and `body` or `note`."""
    frame = _environment().get_template("frame.html")
    html = frame.render(sections=sections, missing=missing, run=run, title=title)
    return html.encode("utf-8", "replace").decode()  # bytes of a file's name that are no UTF-8: question marks


@cache
def _environment() -> Environment:
    """Makes the environment of the templates: every value is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "count": lambda number: f"{number:,}", "svg": Markup, "figure": figure}
    environment.filters["quote"] = shlex.quote
    environment.globals["inline"] = lambda name: Markup((HERE / name).read_text("utf-8"))
    return environment


def percent(share: float | None, digits: int = 1) -> str:
    """Formats a share, 0..1, as a percentage; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def figure(value: float | int | str | None) -> str:
    """Formats a measured value or a limit: four digits that count; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
