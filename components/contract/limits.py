"""Limits on unusable and blank files, unequal classes and shares of eval, for `graft check`, runs and DataGate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

from components.contract import features
from components.contract.gates import FAIL, PASS, WARN, Check, at_most

FLAT = "flat"  # a flag of images of one colour
NO_LOSS = ("duplicate_of", "excluded")  # reasons that cost nothing: a copy, and what a person left out
WORST = 10
MOST_UNEQUAL = 10.0  # times as many train images of the largest class as of the smallest: beyond that it is said
FLAT_HINT = (
    "look at them: blank scans, drawings in the colour that they are laid on (data.alpha), values of other bit depths? "
    "Mend or remove them, raise data.max_flat_fraction, or use --override data; the first:"
)


def check_bad_fraction(
    dataset: dict[str, Any], worst: Iterable[dict[str, Any]], limit: float
) -> tuple[list[Check], list[str]]:
    """Holds the share of unusable files, over all and in each class, against its limit.

    Copies that are left out, and what `data.corrections` excludes, count neither as images nor as unusable.

    Args:
        dataset: `dataset.json`; read are `per_class` {split: {class: examples}}, `bad` {class: unusable files} and
            `bad_without_class`, which count in all only.
        worst: rejected files, rows of the ledger: `name`, `label`, `reason`, `detail`.
        limit: `data.max_bad_fraction`, 0..1; the largest share that is let through.

    Returns:
        A check over all and one for each class over the limit; and, where one fails, what to do and the worst files.
    """
    bad: dict[str, int] = dataset["bad"]
    total = {label: count + _examples(dataset, label) for label, count in bad.items()}
    classless = dataset.get("bad_without_class", 0)
    counts = (sum(bad.values()) + classless, sum(total.values()) + classless)
    everything = _check_share("unusable", "all classes", counts, limit)
    each = {
        label: _check_share(f"unusable/{label}", f"class '{label}'", (bad[label], total[label]), limit)
        for label in sorted(bad)
    }
    over = [check for check in each.values() if check.stops]
    if not over and not everything.stops:
        return [everything], []
    concerned = {label for label, check in each.items() if check.stops or everything.stops}
    rows = [
        row
        for row in worst
        if row["label"] in concerned or (everything.stops and row["label"] not in bad)
        if row["reason"] not in NO_LOSS
    ]
    return [everything, *over], [
        "mend or remove these files, or raise data.max_bad_fraction; the worst:",
        *(f"{row['name']}: {row['reason']} ({row.get('detail', '')})" for row in take_in_turn(rows, WORST)),
    ]


def check_balance(dataset: dict[str, Any]) -> Check:
    """Tells where the largest class has over `MOST_UNEQUAL` times the train images of the smallest.

    Args:
        dataset: `dataset.json`; read is `per_class` {split: {class: examples}}.
    """
    counts = {label: count for label, count in dataset["per_class"][features.TRAIN_SPLIT].items() if count}
    if not counts:
        return Check("class_balance", None, MOST_UNEQUAL, PASS)
    least, most = min(counts, key=lambda label: counts[label]), max(counts, key=lambda label: counts[label])
    ratio = counts[most] / counts[least]
    reason = (
        f"class '{most}' has {counts[most]:,} train images, class '{least}' {counts[least]:,}: a model may do well "
        "without ever answering the rare one; trainer.class_weights: balanced lets both weigh the same"
    )
    is_equal = ratio <= MOST_UNEQUAL
    return Check("class_balance", ratio, MOST_UNEQUAL, PASS if is_equal else WARN, "" if is_equal else reason)


def check_eval_shares(dataset: dict[str, Any]) -> list[Check]:
    """Warns of all classes or a class whose share of eval is far from `data.eval_fraction`.

    Args:
        dataset: `dataset.json`; read is `odd_shares`, see `find_odd_shares`.
    """
    return [
        Check(f"eval_share/{row['class'] or 'all'}", row["share"], row["limit"], WARN, row["reason"])
        for row in dataset.get("odd_shares", [])
    ]


def check_corrections(dataset: dict[str, Any]) -> list[Check]:
    """Warns of corrections that name no image of the data.

    Args:
        dataset: `dataset.json`; read is `lost_corrections`, where each of them stands, for people.
    """
    lost: list[str] = dataset.get("lost_corrections", [])
    named = ", ".join(lost[:WORST]) + (", ..." if len(lost) > WORST else "")
    reason = f"data.corrections: {len(lost):,} rows name no image of the data and change nothing: {named}"
    return [Check("corrections", len(lost), 0, WARN, reason)] if lost else []


def check_flat_fraction(
    dataset: dict[str, Any], flat: Iterable[dict[str, Any]], limit: float
) -> tuple[list[Check], list[str]]:
    """Holds the share of each class's images that are black or white all over against its limit.

    Other pictures of one colour are told, where they are as many: a colour may be what a class is about.

    Args:
        dataset: `dataset.json`; read are `per_class`, `flat` and `blank` {class: images}.
        flat: rows of the manifest with the flag `flat`: `name`, `label`.
        limit: `data.max_flat_fraction`, 0..1.

    Returns:
        A check for each class over the limit, or one that passes; and, where one stops, what to do, and files.
    """
    checks = [check for label in sorted(dataset.get("flat", ())) if (check := _check_flat(dataset, label, limit))]
    over = {check.name.partition("/")[2] for check in checks if check.stops}
    if not checks:
        return [Check("flat", 0, limit, PASS)], []
    names = [row["name"] for row in flat if row["label"] in over][:WORST]
    return checks, [FLAT_HINT, *names] if over else []


def _check_flat(dataset: dict[str, Any], label: str, limit: float) -> Check | None:
    total = _examples(dataset, label)
    flat, blank = (dataset[kind].get(label, 0) / max(total, 1) for kind in ("flat", "blank"))
    if flat <= limit:
        return None
    stops = blank > limit
    kind, share = ("black or white all over", blank) if stops else ("of one colour", flat)
    reason = (
        f"class '{label}': {round(share * total):,} of {total:,} images are {kind} ({percent(share)}); the limit is "
        f"{percent(limit)} (data.max_flat_fraction)"
    )
    return Check(f"flat/{label}", share, limit, FAIL if stops else WARN, reason)


def _check_share(name: str, where: str, counts: tuple[int, int], limit: float) -> Check:
    bad, total = counts
    return at_most(name, bad / total if total else 0.0, limit, _describe(where, bad, total, limit))


def _examples(dataset: dict[str, Any], label: str) -> int:
    return sum(dataset["per_class"][split].get(label, 0) for split in features.SPLITS)


def _describe(where: str, bad: int, total: int, limit: float) -> str:
    return (
        f"{where}: {bad:,} of {total:,} images are unusable ({percent(bad / total if total else 0.0)}); "
        f"the limit is {percent(limit)} (data.max_bad_fraction)"
    )


def percent(share: float) -> str:
    """Formats a share of 0..1: `1 %`, `12.5 %`, and never rounded to the limit that it is over: `1.0001 %`."""
    return f"{100 * share:.5g} %"


def take_in_turn(rows: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Takes the first `count` rows, one of each `reason` in turn."""
    by_reason: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if len(by_reason[row["reason"]]) < count:
            by_reason[row["reason"]].append(row)
    in_turn = chain.from_iterable(zip_longest(*(by_reason[reason] for reason in sorted(by_reason))))
    return [row for row in in_turn if row is not None][:count]
