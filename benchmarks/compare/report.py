"""Tables and the plot of a comparison, and what moved since the last committed one."""

from __future__ import annotations

import os
import platform
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any

FIGURES = ("wall_seconds", "cpu_seconds", "peak_largest_mb", "peak_all_mb", "disk_mb", "accuracy")
OTHERS = {"tutorial": "of_tutorial", "script": "of_script", "plain TFX": "of_plain_tfx"}  # Graft is held against them
MOVED = 0.10  # a row is named when it moved by more
LIBRARIES = ("tensorflow", "keras", "tfx", "apache-beam")


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def summarise(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Medians over the rounds, a row each, with ratios of the wall time taken within each round."""
    names = [name for name in rounds[0] if name != "floor"]
    rows = {name: summarise_row([found[name] for found in rounds]) for name in names}
    for other, key in OTHERS.items():
        for name in names if other in names else []:
            ratios = [found[name]["wall_seconds"] / found[other]["wall_seconds"] for found in rounds]
            rows[name][key] = round(statistics.median(ratios), 3)
    if "floor" in rounds[0]:
        rows["floor"] = {key: statistics.median(found["floor"][key] for found in rounds) for key in rounds[0]["floor"]}
        for name in names:
            if images := rounds[0][name].get("images"):
                floors = [found["floor"]["seconds_per_image"] * images for found in rounds]
                walls = [found[name]["wall_seconds"] for found in rounds]
                rows[name]["of_floor"] = round(statistics.median(w / f for w, f in zip(walls, floors, strict=True)), 2)
    return rows


def summarise_row(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the figures, their spread in wall time, and the last round's other entries."""
    row = dict(found[-1])
    for name in FIGURES:
        values = [each[name] for each in found if each[name] is not None]
        row[name] = round(statistics.median(values), 4) if values else None
    row["wall_spread"] = [min(each["wall_seconds"] for each in found), max(each["wall_seconds"] for each in found)]
    if "seconds" in found[0]:
        names = [name for name in found[0]["seconds"] if all(name in each["seconds"] for each in found)]
        row["seconds"] = {name: round(statistics.median(each["seconds"][name] for each in found), 3) for name in names}
    return row


def compare_results(result: dict[str, Any], previous: dict[str, Any] | None) -> None:
    """Prints the table, and says which rows moved by more than a tenth."""
    ratios = [*OTHERS.values(), "of_floor"]
    figures = ("wall s", "CPU s", "largest MB", "all MB", "disk MB", "accuracy")
    print("| | " + " | ".join([*figures, *(key.replace("_", " ") for key in ratios)]) + " |")
    print("| --- |" + " --- |" * (len(figures) + len(ratios)))
    for name, row in result["rows"].items():
        if name != "floor":
            cells = [*(row[key] for key in FIGURES), *(row.get(key, "") for key in ratios)]
            print(f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |")
    if floor := result["rows"].get("floor"):
        print(f"\nfloor: decoding {floor['decode']:,.0f} images/s, folded backbone {floor['backbone']:,.0f} images/s")
    if previous is None:
        print("\nNo committed result of this name: nothing to compare with.")
        return
    moved = list_moved(result["rows"], previous.get("rows", {}))
    print("\n" + ("\n".join(moved) if moved else f"No row moved by more than {MOVED:.0%} since the committed result."))


def list_moved(rows: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """A line for each figure that moved; ratios where there are some, since machines differ."""
    lines = []
    for name in rows.keys() & before.keys():
        for key in (*OTHERS.values(), "of_floor", "peak_all_mb", "disk_mb"):
            was, now = before[name].get(key), rows[name].get(key)
            if was and now and abs(now / was - 1) > MOVED:
                lines.append(f"{name}: {key} moved from {was:,.5g} to {now:,.5g} ({now / was - 1:+.0%})")
    return sorted(lines)


def print_sizes(rows: list[dict[str, Any]]) -> None:
    """How cost grows with the number of images; marginal cost against the row before."""
    print("\n| images | wall s | all MB | largest MB | disk MB / input | marginal ms an image | of the floor |")
    print("| --- |" + " --- |" * 6)
    for before, row in zip([None, *rows], rows, strict=False):
        marginal, share = marginal_cost(before, row) if before else (None, None)
        cells = [f"{row['images']:,}", row["wall_seconds"], row["peak_all_mb"], row["peak_largest_mb"]]
        cells += [round(row["disk_mb"] / row["input_mb"], 2), marginal or "", share or ""]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def marginal_cost(before: dict[str, Any], row: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds for each further image, and the same in units of the floor measured in the same call."""
    more = row["images"] - before["images"]
    cost = (row["wall_seconds"] - before["wall_seconds"]) / more
    floor = (row["floor"]["seconds_per_image"] + before["floor"]["seconds_per_image"]) / 2
    return round(1000 * cost, 3), round(cost / floor, 2)


def plot_sizes(rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory against the number of images, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "graft"
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    images = [row["images"] for row in rows]
    left.plot(images, [row["wall_seconds"] for row in rows], "o-", label="graft run, cold")
    floors = [row["images"] * row["floor"]["seconds_per_image"] for row in rows]
    left.plot(images, floors, "s--", label="floor")
    left.set(xlabel="images", ylabel="seconds", xscale="log", yscale="log")
    right.plot(images, [row["peak_all_mb"] for row in rows], "o-", label="all processes")
    right.plot(images, [row["peak_largest_mb"] for row in rows], "s--", label="largest process")
    right.set(xlabel="images", ylabel="peak memory, MB", xscale="log", ylim=(0, None))
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
