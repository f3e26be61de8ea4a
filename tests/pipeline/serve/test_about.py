"""What clients may know of a version: its passport in short, and its card as harmless HTML."""

import json

import pytest

from components.contract import features
from pipeline.serve.about import LARGEST_CARD, describe_version, render_card

PASSPORT = {
    "created": "2026-11-28T19:45:22Z",
    "parent": 3,
    "override": None,
    "dataset": {"train": 717, "eval": 179, "manifest_sha256": "8" * 64},
    "metrics": {"accuracy": 0.97, "intervals": {"accuracy": [0.94, 0.99]}, "confidence": 0.95, "examples": 179},
}


def test_the_passport_in_short(tmp_path):
    (tmp_path / "passport.json").write_text(json.dumps(PASSPORT))
    assert describe_version(tmp_path) == {
        "created": "2026-11-28T19:45:22Z",
        "accuracy": 0.97,
        "interval": [0.94, 0.99],
        "confidence": 0.95,
        "eval": 179,
        "train": 717,
        "parent": 3,
        "override": None,
        "manifest_sha256": "8" * 64,
        "card": None,
    }


@pytest.mark.parametrize("text", [None, "{}", "damaged {", '{"metrics": null, "dataset": null}'])
def test_a_version_that_says_nothing_is_described_all_the_same(tmp_path, text):
    if text is not None:
        (tmp_path / "passport.json").write_text(text)
    assert set(describe_version(tmp_path).values()) == {None}


CARD = """---
license: mit
tags: [<b>graft</b>]
---
# Cats & dogs

| class | recall |
| :--- | ---: |
| <img src=x onerror=alert(1)> | 0.9 |

<script>alert(1)</script> [good](https://example.org) [bad](javascript:alert(1)) ![far](https://example.org/x.png)
"""


def test_a_card_is_rendered_without_anything_that_runs_or_loads():
    html = render_card(CARD)
    assert "<h1>Cats &amp; dogs</h1>" in html
    assert "<td>&lt;img src=x onerror=alert(1)&gt;</td>" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert '<a href="https://example.org" target="_blank" rel="noopener noreferrer">good</a>' in html
    for harmful in ("<script", "<img", "style=", 'href="javascript', "<b>"):
        assert harmful not in html
    assert "license: mit" in html
    assert html.index("license: mit") > html.index("<h1>")


def test_a_card_without_metadata_or_with_an_open_one():
    assert render_card("# A\r\n\r\ntext") == "<h1>A</h1>\n<p>text</p>\n"
    assert "license" in render_card("---\nlicense: mit\n")


def test_a_large_card_is_cut_and_says_so(tmp_path):
    (tmp_path / features.CARD_FILE).write_text("word " * LARGEST_CARD)
    card = describe_version(tmp_path)["card"]
    assert len(card) < LARGEST_CARD + 200
    assert "The card goes on" in card
