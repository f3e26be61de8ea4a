"""From facts to the text of `MODEL_CARD.md`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract import features
from components.images.findings import REASONS
from components.registry.card import markdown
from components.registry.card.facts import CardFacts
from components.registry.card.fields import PERSON_FIELDS
from components.registry.card.metadata import make_metadata, title_of

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "card.j2"
CLASSES_SHOWN = 50  # rows of the table of classes
METRIC_WORDS = {
    "accuracy": "accuracy",
    "top_k": "label among the {k} most probable",
    "macro_f1": "macro F1 (mean over classes)",
    "auc": "AUC, one class against the rest (mean over classes)",
    "log_loss": "log loss",
    "ece": "expected calibration error",
    "refused": "good images that are called outliers",
    "ece_uncalibrated": "the same before the temperature",
}
# Counts of `dataset.json` over what was found before anything was left out.
GROUPS = {
    "duplicates_groups": "groups of exact copies",
    "near_duplicates_groups": "groups of near-copies",
    "conflicts_groups": "groups under two classes",
    "leakage_groups": "groups on both sides of the split",
}
# Signature: its input, its outputs.
SIGNATURES = {
    features.SERVE_BYTES: (
        f"`{features.INPUT_BYTES}`: string [batch], the bytes of image files",
        f"`{features.OUTPUT_LABEL}` string [batch], `{features.OUTPUT_PROBABILITY}` float32 [batch], "
        f"`{features.OUTPUT_PROBABILITIES}` float32 [batch, classes]",
    ),
    features.SERVE_EXAMPLES: (
        f"`{features.INPUT_EXAMPLES}`: string [batch], serialized tf.Example with `{features.IMAGE}`",
        "the same",
    ),
    features.EXPLAIN: (
        f"`{features.INPUT_BYTES}`",
        f"`{features.OUTPUT_LABEL}`, `{features.OUTPUT_CAM}` float32 [batch, h, w] in 0..1: the class activation map",
    ),
    features.EMBED: (
        f"`{features.INPUT_BYTES}`",
        f"`{features.OUTPUT_FEATURES}` float32 [batch, d]: the pooled features",
    ),
}


def render_card(facts: CardFacts) -> str:
    """Renders a card: metadata for the Hub, then Markdown for people."""
    body = (
        _environment()
        .get_template(TEMPLATE)
        .render(
            facts=facts,
            passport=facts.passport,
            card=facts.card,
            model=facts.model,
            title=title_of(facts),
            classes=facts.classes[:CLASSES_SHOWN],
            signatures=_list_signatures(facts),
            person=PERSON_FIELDS,
            reasons=REASONS,
            groups=GROUPS,
            words={**METRIC_WORDS, "top_k": METRIC_WORDS["top_k"].format(k=_k(facts))},
        )
    )
    return f"---\n{make_metadata(facts)}---\n\n{body.rstrip()}\n"


def _k(facts: CardFacts) -> Any:
    metrics = facts.passport.get("metrics") or {}
    return metrics.get("k", "k")


def _list_signatures(facts: CardFacts) -> dict[str, tuple[str, str]]:
    """Lists the signatures of a model: vectors and class tokens explain nothing, an older one knows no outliers."""
    has_maps = bool(facts.model.get("pooling")) and facts.model["pooling"] != "cls"
    rows = {name: row for name, row in SIGNATURES.items() if name != features.EXPLAIN or has_maps}
    if outliers := facts.model.get(features.OUTLIERS_FACT):
        taken, given = rows[features.SERVE_BYTES]
        given += (
            f", `{features.OUTPUT_OUTLIER}` float32 [batch] in 0..1: the share of good eval images that look less "
            f"typical, `{features.OUTPUT_KNOWN}` bool [batch]: whether that is above {outliers['max_refused']:g}"
        )
        rows[features.SERVE_BYTES] = taken, given
    return rows


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2  # here: who only reads a card does without it

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        finalize=markdown.escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "raw": markdown.Markdown,
        "person": markdown.person_text,
        "person_line": markdown.person_line,
        "number": markdown.number,
        "interval": markdown.interval,
        "pairs": markdown.pairs,
    }
    return environment
