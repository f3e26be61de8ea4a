"""Any text is shown letter by letter: held against a parser of CommonMark with tables."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from components.registry.card.markdown import (
    Markdown,
    escape,
    interval,
    number,
    one_line,
    pairs,
    person_line,
    person_text,
)

HOSTILE = [
    "a|b",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "<img onerror=alert(1) src=x>",
    "two\nlines\r\n---\n",
    "---",
    "# heading",
    "قطط وكلاب",
    "می‌خواهم",
    "*bold* _it_ ~~gone~~ $x$ [a](javascript:alert(1)) ![b](c)",
    "back\\slash \\| \\\\",
    "&lt;&amp;&#64;",
    "evil\u202ename",
    "https://example.com www.example.com @ann mailto:a@b.c",
    "n" * 200,
    "1. one",
    "a\x00b\x1b[31m",
]


def cells(text):
    """The texts in the first row of a table with one column, and the HTML that the parser made of it."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(f"| x |\n| --- |\n| {text} |\n")
    inlines = [token for token in tokens if token.type == "inline"][1:]
    kinds = {child.type for token in inlines for child in token.children}
    return ["".join(child.content for child in token.children) for token in inlines], kinds


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_one_cell(name):
    texts, kinds = cells(escape(name))
    assert texts == [one_line(name).strip()]
    assert kinds <= {"text", "text_special"}


@given(st.text(min_size=1, max_size=30))
@example("\\|")
def test_every_text_is_text_in_one_cell(name):
    texts, kinds = cells(escape(name))
    assert [text.strip() for text in texts] == [one_line(name).strip()]
    assert kinds <= {"text", "text_special"}


def test_addresses_and_mentions_are_no_links():
    assert "https:" not in escape("https://example.com")
    assert "www." not in escape("www.example.com")
    assert "@" not in escape("@ann")


def test_what_cannot_be_seen_is_written_out_but_joiners_of_letters_stay():
    assert one_line("a\nb\u202ec") == "a\\nb\\u202ec"
    assert one_line("می‌خواهم") == "می‌خواهم"


def test_what_is_markdown_already_stays():
    assert escape(Markdown("**open**")) == "**open**"


def test_a_persons_markdown_keeps_its_form_and_loses_its_tags():
    given = "For *vets*:\n\n- a\n- <script>b</script>\u202e\n"
    assert person_text(given) == "For *vets*:\n\n- a\n- &lt;script>b&lt;/script>"
    assert person_line("a |\nb <x@y.z>") == "a \\| b &lt;x@y.z>"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (1234, "1,234"), (0.95, "0.9500"), ("x", "x"), (True, "True")]
)
def test_numbers_are_for_people(value, text):
    assert number(value) == text


def test_intervals_and_pairs():
    assert interval((0.1, 0.25), 2) == "0.10 to 0.25"
    assert interval(None) == ""
    assert pairs({"png": 1234, "alpha": 0.35}) == "png 1,234, alpha 0.35"
    assert pairs(["x"]) == "['x']"
