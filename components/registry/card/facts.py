"""The facts of a card, gathered from what a run left. A pure function; what is not known is None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.contract import features
from components.contract.gates import GATES
from components.registry.card.fields import given_card, list_fields, list_open
from components.registry.card.limits import list_limits

Json = Mapping[str, Any]
CANDIDATE, BASELINE = "candidate", "baseline"  # keys of `metrics.json`
NO_METRICS = ("examples", "k", "confidence")  # numbers beside the metrics


@dataclass(frozen=True)
class Sources:
    """What the nodes left of one run, as plain values; empty: nothing is known.

    Attributes:
        metrics: `metrics.json`: {model: all metrics}.
        verdicts: {gate: the content of its `verdict.json`}.
        dataset: `dataset.json`.
        training: `history.json` of the Trainer.
    """

    metrics: Json = field(default_factory=dict)
    verdicts: Json = field(default_factory=dict)
    dataset: Json = field(default_factory=dict)
    training: Json = field(default_factory=dict)


@dataclass(frozen=True)
class MetricFact:
    """One metric over all eval images: its key in `metrics.json`, value, and two-sided interval."""

    name: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ClassFact:
    """One class: images in each split, and how well it is recognised.

    Attributes:
        name: of the class.
        train: images to learn from; None: not known.
        eval: images to judge by.
        accuracy: share of its eval images that are recognised; None: it has none.
        interval: two-sided, of the accuracy; None: `evaluator.slices` does not ask for classes.
        precision: share of its predictions that are right; None: it is never predicted.
    """

    name: str
    train: int | None
    eval: int | None
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    precision: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The candidate against the version that was served when it was evaluated.

    Attributes:
        version: that version; None: none was served.
        accuracy: of that version on the same images; None: it could not be run on them.
        difference: candidate minus version, with `interval`, and images `lost` and `gained`; None: not compared.
        reason: why it was not compared.
    """

    version: int | None
    accuracy: float | None = None
    difference: Json | None = None
    reason: str = ""


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card tells of one version.

    Attributes:
        passport: of the version, complete.
        card: what a person filled in, {option below `card:`: value}.
        asked: options that a person is asked to fill.
        open: those that nobody filled.
        metrics: over all eval images.
        examples: number of eval images; None: not evaluated.
        confidence: of the intervals.
        classes: the worst first.
        against: the version that was served before.
        limits: sentences on what the model is bad at, or what is odd about its data.
        dataset, training: as in `Sources`.
        gates: {gate: its verdict}, in the order of the gates.
    """

    passport: Json
    card: Json
    asked: tuple[str, ...]
    open: tuple[str, ...]
    metrics: tuple[MetricFact, ...]
    examples: int | None
    confidence: float | None
    classes: tuple[ClassFact, ...]
    against: Comparison
    limits: tuple[str, ...]
    dataset: Json
    training: Json
    gates: Json

    @property
    def model(self) -> Json:
        """What the model is made of, as `assets/graft.json` has it."""
        return self.passport.get("model") or {}

    @property
    def weights(self) -> Json:
        """Where the backbone's weights are from; empty: not known."""
        return self.model.get("weights") or {}


def gather_facts(passport: Json, sources: Sources) -> CardFacts:
    """Gathers the facts of a version from its passport and from what the nodes of its run left."""
    card, weights = given_card(passport), (passport.get("model") or {}).get("weights") or {}
    metrics = sources.metrics.get(CANDIDATE) or passport.get("metrics") or {}
    return CardFacts(
        passport=passport,
        card=card,
        asked=tuple(list_fields(weights)),
        open=tuple(list_open(card, weights)),
        metrics=tuple(list_metrics(metrics)),
        examples=metrics.get("examples"),
        confidence=metrics.get("confidence"),
        classes=tuple(list_classes(passport, metrics, sources.dataset)),
        against=compare_versions(metrics, sources.metrics.get(BASELINE)),
        limits=tuple(list_limits(metrics, sources.verdicts, sources.dataset)),
        dataset=sources.dataset,
        training=sources.training,
        gates={gate: sources.verdicts[gate] for gate in GATES if gate in sources.verdicts},
    )


def list_metrics(metrics: Json) -> list[MetricFact]:
    """Lists every metric that is one number over all eval images, with its interval where it has one."""
    intervals = metrics.get("intervals") or {}
    return [
        MetricFact(name, value, _bounds(intervals.get(name)))
        for name, value in metrics.items()
        if isinstance(value, int | float) and name not in NO_METRICS
    ]


def list_classes(passport: Json, metrics: Json, dataset: Json) -> list[ClassFact]:
    """Lists the classes, the worst first; those without an eval image last, since nothing is known of them."""
    names = (passport.get("model") or {}).get("classes") or dataset.get("classes") or []
    counts, measured = dataset.get("per_class") or {}, metrics.get("per_class") or {}
    intervals = (metrics.get("slices") or {}).get("class") or {}
    rows = [
        ClassFact(
            name,
            _count(counts.get(features.TRAIN_SPLIT), name),
            _count(counts.get(features.EVAL_SPLIT), name),
            (measured.get(name) or {}).get("accuracy"),
            _bounds((intervals.get(name) or {}).get("interval")),
            (measured.get(name) or {}).get("precision"),
        )
        for name in names
    ]
    return sorted(rows, key=lambda row: (row.accuracy is None, row.accuracy or 0.0, row.name))


def compare_versions(metrics: Json, baseline: Json | None) -> Comparison:
    """Tells how a candidate compares with the version that was served; `baseline` are that version's metrics."""
    held = (metrics.get("held_against") or {}).get(BASELINE)
    if not held:
        return Comparison(None)
    accuracy = (baseline or {}).get("accuracy")
    return Comparison(held["version"], accuracy, held.get("difference"), held.get("reason", ""))


def _count(counts: Json | None, name: str) -> int | None:
    return None if counts is None else int(counts.get(name, 0))


def _bounds(value: Any) -> tuple[float, float] | None:
    return (float(value[0]), float(value[1])) if value else None
