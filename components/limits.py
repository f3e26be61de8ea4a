"""The limit on unusable files: one rule for `graft check`, the start of a run, and DataGate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

from components import features

NO_LOSS = "duplicate_of"  # a copy that is left out costs nothing
WORST = 10


def bad_fraction_reasons(dataset: dict[str, Any], worst: Iterable[dict[str, Any]], limit: float) -> list[str]:
    """Why there are too many unusable files, over all and in each class; nothing where there are not.

    Copies that are left out count neither as images nor as unusable.

    Args:
        dataset: `dataset.json`; read are `per_class` {split: {class: examples}} and `bad` {class: unusable files}.
        worst: rejected files, rows of the ledger: `name`, `label`, `reason`, `detail`.
        limit: `data.max_bad_fraction`, 0..1; the largest share that is let through.

    Returns:
        A line for each share over the limit, what to do, and up to ten files of the classes concerned, taken in turn
        from each reason.
    """
    bad: dict[str, int] = dataset["bad"]
    total = {label: count + _examples(dataset, label) for label, count in bad.items()}
    shares = [("all classes", sum(bad.values()), sum(total.values()))]
    shares += [(f"class '{label}'", bad[label], total[label]) for label in sorted(bad)]
    over = [share for share in shares if share[1] and share[1] / share[2] > limit]
    if not over:
        return []
    concerned = {label for label in bad if shares[0] in over or (f"class '{label}'", bad[label], total[label]) in over}
    rows = [row for row in worst if row["label"] in concerned and row["reason"] != NO_LOSS]
    return [
        *(_describe(*share, limit) for share in over),
        "mend or remove these files, or raise data.max_bad_fraction; the worst:",
        *(f"{row['name']}: {row['reason']} ({row.get('detail', '')})" for row in take_in_turn(rows, WORST)),
    ]


def _examples(dataset: dict[str, Any], label: str) -> int:
    return sum(dataset["per_class"][split].get(label, 0) for split in features.SPLITS)


def _describe(where: str, bad: int, total: int, limit: float) -> str:
    return (
        f"{where}: {bad:,} of {total:,} images are unusable ({percent(bad / total)}); "
        f"the limit is {percent(limit)} (data.max_bad_fraction)"
    )


def percent(share: float) -> str:
    """A share of 0..1 for people: `1 %`, `12.5 %`, and never rounded to the limit that it is over: `1.0001 %`."""
    return f"{100 * share:.5g} %"


def take_in_turn(rows: Iterable[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first `count` rows when one is taken from each `reason` in turn."""
    by_reason: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if len(by_reason[row["reason"]]) < count:
            by_reason[row["reason"]].append(row)
    in_turn = chain.from_iterable(zip_longest(*(by_reason[reason] for reason in sorted(by_reason))))
    return [row for row in in_turn if row is not None][:count]
