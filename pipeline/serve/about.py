"""What clients may know of a version beside its answers: when it was made, how good it is, and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contract import features
from components.errors import InputError
from components.registry import versions

LARGEST_CARD = 1 << 18  # bytes of a card that are shown
METADATA = "---\n"  # around the YAML with which a card of Hugging Face's form begins


def describe_version(folder: Path) -> dict[str, Any]:
    """Describes a version as JSON; what its passport does not say is null.

    Args:
        folder: of the version; one that Graft did not push has no passport, and most is null.

    Returns:
        `created` (ISO 8601), `accuracy` and its `interval` at `confidence`, all 0..1, over `eval` images; `train`
        images; `parent`, the version before; `override`, who let a gate's no pass and why; `manifest_sha256` of its
        data; `card` as HTML.
    """
    try:
        passport = versions.read_passport(folder)
    except InputError:
        passport = {}
    metrics, dataset = passport.get("metrics") or {}, passport.get("dataset") or {}
    return {
        "created": passport.get("created"),
        "accuracy": metrics.get("accuracy"),
        "interval": (metrics.get("intervals") or {}).get("accuracy"),
        "confidence": metrics.get("confidence"),
        "eval": metrics.get("examples", dataset.get("eval")),
        "train": dataset.get("train"),
        "parent": passport.get("parent"),
        "override": passport.get("override"),
        "manifest_sha256": dataset.get("manifest_sha256"),
        "card": read_card(folder),
    }


def read_card(folder: Path) -> str | None:
    """Reads a version's card as HTML; None where it has none."""
    try:
        with open(folder / features.CARD_FILE, "rb") as file:
            content = file.read(LARGEST_CARD + 1)
    except OSError:
        return None
    cut = "\n\n*The card goes on; all of it is in the version's folder.*" if len(content) > LARGEST_CARD else ""
    return render_card(content[:LARGEST_CARD].decode("utf-8", "replace") + cut)


def render_card(text: str) -> str:
    """Renders Markdown as HTML without scripts, styles, images or HTML of its own; its metadata stays as it is written.

    Args:
        text: CommonMark with tables, perhaps with YAML in front.
    """
    from markdown_it import MarkdownIt

    text = text.replace("\r\n", "\n")
    if text.startswith(METADATA):
        metadata, end, rest = text[len(METADATA) :].partition(f"\n{METADATA}")
        text = f"{rest}\n\n````yaml\n{metadata}\n````\n" if end else text
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])
    tokens = reader.parse(text)
    for token in [inner for outer in tokens for inner in (outer, *(outer.children or ()))]:
        token.attrs.pop("style", None)  # of aligned columns: the page's policy forbids it
        if token.type == "link_open":
            token.attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
    return str(reader.renderer.render(tokens, reader.options, {}))
