"""The frame of the page: sections in order, escaped, and a failure that costs no model."""

import re
import threading
from types import SimpleNamespace

import pytest

from components.report import ahead, page
from components.report.inputs import ReportInputs
from components.report.page import figure, gather_content, percent, render

HOSTILE = '<img src=x onerror="alert(1)">'


def gates(verdict="fail"):
    check = {"name": HOSTILE, "measured": 0.5, "limit": 0.9, "verdict": verdict, "reason": HOSTILE, "stops": True}
    return {"quality": {"passed": verdict == "pass", "checks": [check], "reasons": [HOSTILE], "override": None}}


def content_of(**known):
    return gather_content(ReportInputs({}, known=known), tolerant=False)


def test_every_section_is_there_and_in_the_menu():
    html = render(content_of(gates=gates()))
    for name, section in page.load_sections().items():
        assert f'<section id="{name}"' in html
        assert f'<a href="#{name}">{section.TITLE}</a>' in html


def test_names_are_text_and_never_markup():
    html = render(content_of(gates=gates()), {"summary": summary(reasons=[HOSTILE]), "command": HOSTILE, "config": ""})
    assert HOSTILE not in html
    assert html.count("&lt;img src=x onerror=") >= 4


def test_a_name_that_is_no_utf8_is_shown_and_costs_no_page():
    html = render(
        content_of(gates=gates()), {"summary": summary(reasons=["caf\udce9.jpg"]), "command": "", "config": ""}
    )
    assert "caf?.jpg" in html
    html.encode("utf-8")


def test_nothing_comes_from_elsewhere():
    html = render(content_of(gates=gates()))
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pushed", "Pushed"),
        ("unchanged", "Unchanged"),
        ("not_blessed", "Not pushed: the quality gate said no"),
        ("data_refused", "Not pushed: the data was refused"),
        ("not_servable", "Not pushed: the model is not servable"),
        ("failed", "Not pushed: the run failed"),
        ("interrupted", "Not pushed: the run was interrupted"),
    ],
)
def test_a_run_says_how_it_ended(status, words):
    html = render(
        content_of(gates=gates()), {"summary": summary(status=status), "command": "graft run x", "config": ""}
    )
    assert f">{words}</strong>" in html
    assert "graft run x" in html


@pytest.mark.parametrize(("verdict", "words"), [("pass", "Every gate said yes"), ("undecided", "A gate said no")])
def test_a_task_on_a_cluster_says_what_the_gates_said(verdict, words):
    html = render(content_of(gates=gates(verdict)))
    assert words in html
    assert f">{verdict}" in html


def test_a_section_that_fails_leaves_a_note_and_costs_no_model(monkeypatch):
    def fail(inputs, pictures):
        raise ValueError("a <b> that nobody expected")

    broken = SimpleNamespace(TITLE="Broken", TEMPLATE="verdict.html", gather=fail)
    monkeypatch.setattr(page, "load_sections", lambda: {"broken": broken})
    content = gather_content(ReportInputs({}))
    assert content["sections"]["broken"]["facts"] is None
    assert "This section could not be made: ValueError: a &lt;b&gt; that" in render(content)
    with pytest.raises(ValueError, match="nobody expected"):
        gather_content(ReportInputs({}), tolerant=False)


def test_a_section_that_takes_long_is_gathered_when_its_pictures_are_drawn(monkeypatch):
    told = []

    def want(inputs, pictures):
        told.append("wants")
        pictures.drawn["a"] = "url"
        raise ValueError("met again by gather")

    def gather(inputs, pictures):
        told.append("gathers")
        return pictures.drawn

    late = SimpleNamespace(TITLE="Late", TEMPLATE="verdict.html", gather=gather, want=want)
    early = SimpleNamespace(TITLE="Early", TEMPLATE="verdict.html", gather=lambda *_: told.append("early") or "nothing")
    monkeypatch.setattr(page, "load_sections", lambda: {"late": late, "early": early})
    monkeypatch.setattr(page, "_fetch", lambda inputs, pictures, _: told.append("fetched") or dict(pictures.drawn))
    content = gather_content(ReportInputs({}), tolerant=False)
    assert told == ["early", "wants", "fetched", "gathers"]
    assert list(content["sections"]) == ["late", "early"]
    assert content["pictures"] == {"a": "url"}


def test_numbers_are_made_while_sections_are_gathered(monkeypatch):
    begun, reached = threading.Event(), threading.Event()

    def make_numbers(inputs):
        begun.set()
        reached.wait(30)
        raise ValueError("met again by the section that asks")

    def gather(inputs, pictures):
        reached.set()
        return {"begun": begun.wait(30)}

    monkeypatch.setattr(ahead, "make_numbers", make_numbers)
    section = SimpleNamespace(TITLE="A", TEMPLATE="verdict.html", gather=gather)
    monkeypatch.setattr(page, "load_sections", lambda: {"a": section})
    content = gather_content(ReportInputs({"model": "there"}), tolerant=False)
    assert content["sections"]["a"]["facts"] == {"begun": True}


def test_a_template_that_fails_leaves_a_note_and_the_other_sections():
    content = content_of(gates=gates())
    content["sections"]["verdict"]["facts"].pop("gates")
    html = render(content)
    assert "This section could not be made: UndefinedError" in html
    assert '<section id="provenance"' in html


def test_numbers_are_short():
    assert [percent(0.98765), percent(None), percent(1.0, 0)] == ["98.8 %", "-", "100 %"]
    assert [figure(0.123456), figure(7), figure("yes"), figure(None)] == ["0.1235", "7", "yes", "-"]


def summary(status="not_blessed", reasons=()):
    return {
        "run_id": "20260131-120000-abcd",
        "status": status,
        "reasons": list(reasons),
        "model": None,
        "served": None,
        "seconds": {"total": 12.3},
        "cached": [],
    }
