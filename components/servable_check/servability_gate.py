"""Holds what the probe found against the limits of the servability gate; pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from components.contract import features
from components.contract.gates import FAIL, PASS, Check, at_most
from components.options.gates import ServabilityGateOptions

MEGABYTE = 1e6


def judge_answers(
    answer: dict[str, Any],
    expected: dict[str, np.ndarray],
    labels: list[str],
    size_mb: float,
    gate: ServabilityGateOptions,
) -> tuple[dict[str, Any], list[Check]]:
    """Compares each served answer with the training path's, and what it cost with the limits.

    Args:
        answer: of the probe.
        expected: what the training path answered: sha256 to probabilities float32 [classes].
        labels: the class names in the export.
        size_mb: of the export on disk, in MB.
        gate: the limits.

    Returns:
        What was measured, and the checks.
    """
    if "trying" in answer:  # it went no further
        return {"load_seconds": round(answer["load_seconds"], 3)}, [*check_odd_inputs(answer)]
    answers = answer["answers"]
    widths = {len(row["probabilities"]) for row in answers}
    if widths - {len(labels)}:
        reason = f"serving_default does not answer with one probability a class; there are {len(labels)} classes"
        return {}, [Check("classes", max(widths), len(labels), FAIL, reason)]
    known = [row for row in answers if row["sha256"] in expected]
    to_training = [float(np.abs(expected[row["sha256"]] - row["probabilities"]).max()) for row in known]
    to_examples = [float(np.abs(np.subtract(row["from_example"], row["probabilities"])).max()) for row in answers]
    measured = {
        "images": len(answers),
        "max_difference": max(to_training, default=0.0),
        "size_mb": round(size_mb, 1),
        **measure_costs(answer),
    }
    checks = [
        _check_images(len(known), min(len(answers), len(expected))),
        _check_difference("parity/training", "the training path", to_training, gate),
        _check_difference("parity/serve_examples", "serve_examples", to_examples, gate),
        _check_labels(answers, labels),
        *check_costs(measured, gate),
        *check_odd_inputs(answer),
    ]
    return measured, checks


def _check_images(known: int, images: int) -> Check:
    """Checks that the images of the Trainer's sample are among those replayed, all or as many as were asked for."""
    unknown = max(images - known, 0)  # an image may be there twice
    reason = f"{unknown} of {images} replayed images are unknown to the Trainer"
    return Check("images", known, images, PASS if known and not unknown else FAIL, reason)


def _check_difference(name: str, other: str, differences: list[float], gate: ServabilityGateOptions) -> Check:
    worst = float(np.max(differences)) if differences else 0.0  # NaN stays NaN, and fails
    reason = (
        f"serving_default differs from {other} by {worst:.2g} in probability; "
        f"gates.servability.max_difference is {gate.max_difference:.2g}"
    )
    return at_most(name, worst, gate.max_difference, reason)


def _check_labels(answers: list[dict[str, Any]], labels: list[str]) -> Check:
    wrong = sum(row["label"] != labels[int(np.argmax(row["probabilities"]))] for row in answers)
    return at_most("labels", wrong, 0, f"{wrong} labels are not the most probable class of {features.LABELS_ASSET}")


def measure_costs(answer: dict[str, Any]) -> dict[str, Any]:
    """Measures load time in s, memory in MB, and the median and 95th percentile of the latency in ms."""
    costs = {"load_seconds": round(answer["load_seconds"], 3), "peak_rss_mb": round(answer["peak_rss_mb"], 1)}
    for size, milliseconds in answer["milliseconds"].items():
        costs[f"p50_milliseconds_{size}"] = round(float(np.percentile(milliseconds, 50)), 2)
        costs[f"p95_milliseconds_{size}"] = round(float(np.percentile(milliseconds, 95)), 2)
    return costs


COSTS = (  # name among what was measured, option with its limit, words
    ("load_seconds", "max_load_seconds", "loading took {:.3g} s"),
    ("peak_rss_mb", "max_memory_mb", "the serving process took {:.0f} MB of memory"),
    ("size_mb", "max_size_mb", "the export takes {:.0f} MB on disk"),
    ("p95_milliseconds_1", "max_milliseconds_1", "one image took {:.3g} ms (95th percentile)"),
    ("p95_milliseconds_32", "max_milliseconds_32", "a batch of 32 took {:.3g} ms (95th percentile)"),
)


def check_costs(measured: dict[str, Any], gate: ServabilityGateOptions) -> Iterator[Check]:
    """Holds each cost against its limit; a cost without a limit is only recorded."""
    for name, option, words in COSTS:
        limit = getattr(gate, option)
        if name in measured:
            reason = f"{words.format(measured[name])}; gates.servability.{option} is {limit}"
            yield at_most(name, measured[name], limit, reason)


def check_odd_inputs(answer: dict[str, Any]) -> Iterator[Check]:
    """Checks that odd inputs gave an error of the signature or finite probabilities, and left the process alive."""
    for name, row in answer.get("odd_inputs", {}).items():
        clean = row["outcome"] == "error" or _is_answer(row)
        found = row["outcome"] if clean else row.get("error", "no finite probabilities")
        reason = f"serving_default takes the odd input '{name}' badly: {row.get('message') or found}"
        yield Check(f"odd_input/{name}", found, "a clean error or an answer", PASS if clean else FAIL, reason)
    if "trying" in answer:
        name = answer["trying"]
        reason = f"the odd input '{name}' ended the process that served the model"
        yield Check(f"odd_input/{name}", "the process died", "a clean error or an answer", FAIL, reason)
    if "afterwards" in answer:
        good = _is_answer(answer["afterwards"])
        reason = "after the odd inputs a good image gets no answer any more"
        yield Check("afterwards", answer["afterwards"]["outcome"], "answered", PASS if good else FAIL, reason)


def _is_answer(row: dict[str, Any]) -> bool:
    return row["outcome"] == "answered" and bool(np.isfinite(row["probabilities"]).all())
