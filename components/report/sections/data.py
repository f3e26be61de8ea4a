"""The data: classes a split, sizes, formats and brightness, what was left out, copies and conflicts, flags, drift."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from components.contract import features
from components.contract.limits import MOST_UNEQUAL, NO_LOSS
from components.example_gen.manifest import Row
from components.images.findings import FLAGS, REASONS
from components.report.charts import FAINT, FIRST, SECOND, draw_chart
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts
from components.report.source_pictures import SourcePictures
from components.sources.listing import IGNORED

TITLE = "Data"
TEMPLATE = "data.html"
SHOWN = 8  # files of one reason
GROUPS_SHOWN, GROUP_SHOWN = 6, 6  # groups of a kind, and images of a group
CLASSES_SHOWN = 1000  # rows of the table
FEWEST = 30  # images, for an accuracy to be told
KINDS = {
    "conflicts": "The same picture under several classes: at least one label is wrong",
    "leakage": "Images that train and eval share: the first is on the eval side",
    "duplicates": "Exact copies within a class",
    "near_duplicates": "Different files that show nearly the same picture",
}
MEASURES = {  # names of the statistics, in words
    features.LABEL_TEXT: "shares of the classes",
    features.LABEL: "class index",
    features.FORMAT: "file formats",
    features.HEIGHT: "height",
    features.WIDTH: "width",
    features.CHANNELS: "colour channels",
    features.BYTE_SIZE: "file size",
    features.BRIGHTNESS: "brightness",
    features.CONTRAST: "contrast",
    features.ASPECT_RATIO: "aspect ratio",
}
Rows = list[dict[str, Any]]


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers counts, charts, pictures of what is odd, and what the data gate measured."""
    dataset = inputs.dataset
    if not dataset:
        return "The run ended before it had looked at the data."
    used = max(dataset.get("train", 0) + dataset.get("eval", 0), 1)
    files, examples = SourcePictures(inputs, pictures), [row for row in inputs.rows if row.is_example]
    counts = ("found", "train", "eval", "quarantined", "ignored", "bytes")
    return {
        **{name: dataset.get(name, 0) for name in counts},
        **{name: dataset.get(name, "") for name in ("layout", "container")},
        "notes": dataset.get("notes", []),
        "path": inputs.data_path,
        "fingerprint": dataset.get("fingerprint", ""),
        **count_classes(dataset),
        "ignored_reasons": [
            {"name": name, "words": IGNORED.get(name, ""), "count": count}
            for name, count in by_count(dataset.get("ignored_reasons", {}))
        ],
        "ledger": list_rejected(inputs, files),
        "groups": list_groups(inputs, files),
        "formats": [
            {"name": name, "count": count, "share": count / used}
            for name, count in by_count(dataset.get("formats", {}))
        ],
        "charts": draw_charts(examples, inputs.facts.get("image_size")) if examples else [],
        "sizes": describe_sizes(examples) if examples else "",
        "flags": weigh_flags(inputs, used),
        "evaluated": inputs.outcomes is not None,
        "shifts": [describe_shifts(inputs, kind) for kind in ("drift", "skew")],
    }


def by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Sorts names and counts, the largest count first."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def count_classes(dataset: dict[str, Any]) -> dict[str, Any]:
    """Counts the images of each class and split, the largest class first, and says how unequal the classes are."""
    per_class, bad = dataset.get("per_class", {}), dataset.get("bad", {})
    counts = {split: per_class.get(split, {}) for split in features.SPLITS}
    largest = (
        max((sum(row.get(label, 0) for row in counts.values()) for label in dataset.get("classes", [])), default=0) or 1
    )
    rows = [
        {"name": label, **{split: row.get(label, 0) for split, row in counts.items()}, "bad": bad.get(label, 0)}
        for label in dataset.get("classes", [])
    ]
    for row in rows:
        row["parts"] = [row[split] / largest for split in features.SPLITS]
    rows.sort(key=lambda row: (-row["train"], -row["eval"], row["name"]))
    return {
        "classes": rows[:CLASSES_SHOWN],
        "more_classes": max(len(rows) - CLASSES_SHOWN, 0),
        "class_count": len(rows),
        "balance": describe_balance(rows),
        "without_eval": sum(not row["eval"] for row in rows),
    }


def describe_balance(rows: Rows) -> str:
    """Says how unequal the classes are, of rows of `count_classes`."""
    learned = [row for row in rows if row["train"]]
    if not learned:
        return ""
    most, least = learned[0], learned[-1]
    ratio = most["train"] / least["train"]
    if most["train"] == least["train"]:
        return f"The classes are equal: {most['train']:,} train images each."
    words = f"'{most['name']}' has the most train images, {most['train']:,}; '{least['name']}' the fewest, "
    words += f"{least['train']:,}{f': {ratio:,.1f} times as many' if ratio >= 1.5 else ''}."
    unequal = " A model may do well without ever answering the rare ones: trainer.class_weights: balanced helps."
    return words + (unequal if ratio > MOST_UNEQUAL else "")


def list_rejected(inputs: ReportInputs, files: SourcePictures) -> Rows:
    """Lists the files that were not used by their reason: the count, and the first of them with their pictures."""
    rows = defaultdict[str, list[Row]](list)
    for row in inputs.rows:
        if row.reason:
            rows[row.reason].append(row)
    return [
        {
            "name": reason.replace("_", " "),
            "words": REASONS.get(reason, ""),
            "count": count,
            "cards": [make_card(files, row, row.detail) for row in rows[reason][:SHOWN]],
        }
        for reason, count in sorted(by_count(inputs.dataset.get("reasons", {})), key=lambda pair: pair[0] in NO_LOSS)
    ]


def make_card(files: SourcePictures, row: Row, detail: str = "") -> dict[str, Any]:
    """Makes the card of a file: its picture, its class, its split, and more in words."""
    place = f"{row.label or 'no class'}{f', {row.split}' if row.split else ''}"
    return {"key": files.want(row), "name": row.name, "lines": [place, *([detail] if detail else [])]}


def list_groups(inputs: ReportInputs, files: SourcePictures) -> Rows:
    """Lists the first groups of each kind of `findings.json`, as rows of pictures."""
    shown = {name: inputs.findings.get(name, [])[:GROUPS_SHOWN] for name in KINDS}
    wanted = {name for groups in shown.values() for group in groups for name in group[:GROUP_SHOWN]}
    by_name = {row.name: row for row in inputs.rows if row.name in wanted}
    found = []
    for kind, words in KINDS.items():
        count = inputs.dataset.get(f"{kind}_groups", 0)
        rows = [[by_name[name] for name in group[:GROUP_SHOWN] if name in by_name] for group in shown[kind]]
        groups = [
            {"more": max(len(group) - GROUP_SHOWN, 0), "cards": [_member(files, row) for row in row_group]}
            for group, row_group in zip(shown[kind], rows, strict=True)
        ]
        found += [{"words": words, "count": count, "groups": groups}] if count else []
    return found


def _member(files: SourcePictures, row: Row) -> dict[str, Any]:
    return make_card(files, row, "left out" if row.reason else "")


def draw_charts(examples: list[Row], model_size: list[int] | None) -> list[str]:
    """Draws how the brightness of the images and, if it differs, their shorter side are spread, as SVG."""
    splits = {split: [row for row in examples if row.split == split] for split in features.SPLITS}
    sides = {split: np.array([min(row.height, row.width) for row in rows]) for split, rows in splits.items()}
    light = {split: np.array([row.brightness for row in rows]) for split, rows in splits.items()}

    def plot_sides(axes: Any) -> None:
        every = np.concatenate(list(sides.values()))
        least, most = max(every.min(), 1), every.max()
        edges = (
            np.geomspace(least * 0.95, most * 1.05, 25) if most > 4 * least else np.linspace(least - 1, most + 1, 25)
        )
        _plot_shares(axes, sides, edges)
        if most > 4 * least:
            axes.set_xscale("log")
            axes.xaxis.get_major_locator().set_params(subs=(1, 2, 5))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.minorticks_off()
        if model_size:
            axes.axvline(min(model_size), color=FAINT, linestyle="--")
            axes.text(min(model_size), axes.get_ylim()[1], " the model sees", va="top", fontsize=9)
        axes.set_xlabel("shorter side, pixels")

    def plot_light(axes: Any) -> None:
        _plot_shares(axes, light, np.linspace(0, 255, 33))
        axes.set_xlabel("mean brightness, 0 black to 255 white")

    charts = [draw_chart("Brightness of the images, by split", plot_light, (5.2, 2.4))]
    if len({(row.height, row.width) for row in examples}) > 1:
        charts.insert(0, draw_chart("Shorter side of the images, by split", plot_sides, (5.2, 2.4)))
    return charts


def _plot_shares(axes: Any, values: dict[str, np.ndarray], edges: np.ndarray) -> None:
    for (split, found), colour in zip(values.items(), (FIRST, SECOND), strict=True):
        if len(found):
            counts, _ = np.histogram(found, edges)
            axes.stairs(counts / len(found), edges, color=colour, linewidth=1.6, label=split)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_ylabel("share of the split")
    axes.legend()


def describe_sizes(examples: list[Row]) -> str:
    """Describes the sizes of the images in a sentence: the smallest, the median and the largest."""
    by_pixels = sorted(examples, key=lambda row: row.height * row.width)
    least, median, most = (
        f"{row.width} x {row.height}" for row in (by_pixels[0], by_pixels[len(by_pixels) // 2], by_pixels[-1])
    )
    if least == most:
        return f"Every image has {least} pixels."
    return (
        f"The smallest image has {least} pixels (width x height), the one in the middle {median}, the largest {most}."
    )


def weigh_flags(inputs: ReportInputs, used: int) -> Rows:
    """Weighs each flag: how many images carry it, what it costs in words, and how often the model is right on them."""
    right = _right_by_digest(inputs)
    flagged = defaultdict[str, list[bool]](list)
    for digest, is_right in right.items():
        for flag in inputs.row_of[digest].flags:
            flagged[flag].append(is_right)
    rows, total_right = [], sum(right.values())
    for flag, count in by_count(inputs.dataset.get("flags", {})):
        found = flagged[flag]
        others = (total_right - sum(found), len(right) - len(found))
        enough = min(len(found), others[1]) >= FEWEST
        rows.append(
            {
                "name": flag.replace("_", " "),
                "words": FLAGS.get(flag, ""),
                "count": count,
                "share": count / used,
                "eval": len(found),
                "accuracy": _accuracy(sum(found), len(found)) if enough else None,
                "others": _accuracy(*others) if enough else None,
            }
        )
    return rows


def _right_by_digest(inputs: ReportInputs) -> dict[str, bool]:
    """Gives {sha256 of an eval image: whether the candidate was right}; empty where nothing was evaluated."""
    table = inputs.outcomes
    if table is None:
        return {}
    right = table["candidate/predicted"].to_numpy() == table["label"].to_numpy()
    pairs = zip(table["sha256"].to_pylist(), right.tolist(), strict=True)
    return {digest: is_right for digest, is_right in pairs if digest in inputs.row_of}


def _accuracy(right: int, images: int) -> dict[str, Any]:
    from components.contract.statistics import wilson_interval

    return {"value": right / images, "interval": list(wilson_interval(right, images, 0.95)), "images": images}


def describe_shifts(inputs: ReportInputs, kind: str) -> dict[str, Any]:
    """Describes what the data gate measured of drift (against the served version) or skew (train against eval).

    Returns:
        `kind`; `version`, None where there was none to compare with; `rows` of each measure, those over their limit
        first: `split`, `words`, `measured`, `limit`, `ratio` of both, `over`, `reason`; `over`: how many are.
    """
    gate = inputs.gates.get("data", {})
    rows = [
        {
            "split": place.partition("/")[0],
            "words": MEASURES.get(place.partition("/")[2], place.partition("/")[2]),
            "measured": check["measured"],
            "limit": check["limit"],
            "ratio": check["measured"] / check["limit"] if check["limit"] else 0.0,
            "over": check["verdict"] != "pass",
            "reason": check["reason"],
        }
        for check in gate.get("checks", [])
        if (place := check["name"].removeprefix(f"{kind}/")) != check["name"]
    ]
    rows.sort(key=lambda row: (-row["over"], -row["ratio"]))
    over = sum(row["over"] for row in rows)
    return {
        "kind": kind,
        "version": gate.get("measured", {}).get("version"),
        "rows": rows,
        "over": over,
        "notes": gate.get("notes", []) if kind == "drift" else [],
    }
