"""The metadata on top of a card, which the Hugging Face Hub reads.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md, and the identifiers of licences in
https://huggingface.co/docs/hub/repositories-licenses. `library_name` is free: the Hub's `tf-keras` would show code that
does not open a SavedModel with signatures, so it is the library that does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from components.registry.card.facts import CardFacts
from components.registry.card.markdown import one_line

TASK = "image-classification"
LIBRARY = "tensorflow"
TAGS = (TASK, "tensorflow", "savedmodel", "tfx", "transfer-learning", "graft")
# Metrics of the run by their identifier at https://huggingface.co/metrics, and how they are called there.
HUB_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "auc": ("roc_auc", "ROC AUC, mean over classes"),
}
LICENSES = frozenset(
    re.findall(
        r"\S+",
        """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0
    gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail
    openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
""",
    )
)


def describe_license(card: Mapping[str, Any]) -> dict[str, str]:
    """Gives `license`, and for one that the Hub has no identifier of, `license_name` and `license_link`."""
    name = card.get("license")
    if not name:
        return {}
    if name.lower() in LICENSES:
        return {"license": name.lower()}
    link = {"license_link": one_line(card["license_link"])} if card.get("license_link") else {}
    slug = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return {"license": "other", "license_name": slug or "other", **link}


def describe_results(facts: CardFacts) -> list[dict[str, Any]]:
    """Gives the `model-index`: one result, the metrics over the eval split; empty where nothing was evaluated."""
    values = {metric.name: metric.value for metric in facts.metrics}
    rows = [
        {"type": kind, "value": round(values[name], 6), "name": title}
        for name, (kind, title) in HUB_METRICS.items()
        if name in values
    ]
    if not rows:
        return []
    fingerprint, images = str(facts.passport.get("data_fingerprint") or ""), facts.examples or 0
    dataset = {
        "type": (facts.card.get("datasets") or ["imagefolder"])[0],
        "name": f"eval split, {images:,} images" + (f", of data {fingerprint[:12]}" if fingerprint else ""),
        "split": "eval",
    }
    result = {"task": {"type": TASK, "name": "Image Classification"}, "dataset": dataset, "metrics": rows}
    return [{"name": title_of(facts), "results": [result]}]


def title_of(facts: CardFacts) -> str:
    """Gives the heading: the person's, or the name of the pipeline."""
    return one_line(str(facts.card.get("title") or facts.passport.get("name") or "graft"))


def make_metadata(facts: CardFacts) -> str:
    """Makes the YAML between the two lines of dashes."""
    backbone = str(facts.model.get("backbone") or "")
    own = [one_line(tag) for tag in facts.card.get("tags") or []]
    content: dict[str, Any] = {
        **describe_license(facts.card),
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        "tags": list(dict.fromkeys([*TAGS, *([backbone.lower()] if backbone.isalnum() else []), *own])),
    }
    content |= {name: facts.card[name] for name in ("datasets", "base_model") if facts.card.get(name)}
    if results := describe_results(facts):
        content["metrics"] = [row["type"] for row in results[0]["results"][0]["metrics"]]
        content["model-index"] = results
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
