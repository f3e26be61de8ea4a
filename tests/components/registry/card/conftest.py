"""What a run leaves of a version, in small."""

from __future__ import annotations

import json

import pytest

from components.options.card import CardOptions
from components.registry.card.facts import Sources, gather_facts

CLASSES = ("cats", "dogs", "elks")
CHECK = {"name": "accuracy", "measured": 0.9, "limit": 0.8, "verdict": "pass", "reason": "", "stops": False}


def measured(names, **others):
    """Metrics of a candidate: the first class is the worst."""
    rows = {
        name: {"examples": 40, "accuracy": 0.5 + 0.4 * index / len(names), "precision": 0.75}
        for index, name in enumerate(names)
    }
    return {
        "examples": 40 * len(names),
        "accuracy": 0.9,
        "macro_f1": 0.875,
        "ece": 0.03,
        "auc": None,
        "k": 2,
        "confidence": 0.95,
        "intervals": {"accuracy": [0.85, 0.94]},
        "per_class": rows,
        "slices": {
            "class": {name: {**row, "interval": [0.4, 0.95], "small": False} for name, row in rows.items()},
            "size": {
                "under 128 px": {"examples": 50, "accuracy": 0.6, "interval": [0.46, 0.72], "small": False},
                "512-1,023 px": {"examples": 70, "accuracy": 0.91, "interval": [0.8, 0.97], "small": False},
            },
        },
        "held_against": {"baseline": None, "best": None},
        **others,
    }


@pytest.fixture
def facts():
    """Call it to gather facts, with other classes, options of `card:`, or parts of what a run leaves."""

    def call(names=CLASSES, card=(), baseline=None, verdicts=(), dataset=(), metrics=(), **passport):
        options = CardOptions(**dict(card)).model_dump(mode="json")
        counts = dict.fromkeys(names, 10)
        known = {
            "name": "pets",
            "version": 7,
            "created": "2026-01-31T12:00:00Z",
            "data_fingerprint": "d" * 64,
            "model": {
                "classes": list(names),
                "backbone": "MobileNetV2",
                "backbone_args": {"alpha": 0.35},
                "pooling": "avg",
                "image_size": [96, 128],
                "weights": {"source": "imagenet", "url": "https://k/w.h5", "license": "apache-2.0", "terms": "says K"},
            },
            "config": {"card": options, "exports": []},
            **passport,
        }
        sources = Sources(
            {"candidate": measured(names, **dict(metrics)), **({"baseline": baseline} if baseline else {})},
            {"quality": {"passed": True, "checks": [CHECK], "override": None}, **dict(verdicts)},
            {
                "found": 64,
                "train": 30,
                "eval": 30,
                "quarantined": 4,
                "reasons": {"truncated": 4},
                "per_class": {"train": counts, "eval": counts},
                "flags": {"rotated": 6},
                "formats": {"jpeg": 60},
                **dict(dataset),
            },
            {
                "seconds": 12.5,
                "feature_seconds": 3.25,
                "features_computed": 60,
                "features_kept": 0,
                "machine": {"processors": 2, "processor": "A Processor", "memory_mb": 8000, "gpus": ["A GPU"]},
            },
        )
        return gather_facts(json.loads(json.dumps(known)), sources)

    return call
