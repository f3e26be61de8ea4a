"""How the model learned: curves, learning rate, where it stopped and why; and what the run's time went into."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.options.trainer import TrainerOptions, with_values
from components.report.charts import FAINT, FIRST, SECOND, draw_chart
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.section import Facts
from components.trainer.training.schedule import Recipe, learning_rates, passes, stopped_early

TITLE = "Learning"
TEMPLATE = "learning.html"
NAMES = {"loss": "Loss", "accuracy": "Accuracy"}
POINTS = 2000  # of the learning rate's curve
Curves = dict[str, list[float]]


def gather(inputs: ReportInputs, pictures: Pictures) -> Facts | str:
    """Gathers the curves of both stages and what the Trainer said of its feature pass."""
    history = inputs.history
    if not history.get("head"):
        return "No model was trained: the run ended before."
    tuned = inputs.facts.get("tuned") or {}
    options = with_values(TrainerOptions.model_validate(inputs.passport.get("config", {}).get("trainer", {})), tuned)
    head, second = history["head"], history.get("fine_tune")
    learned = history.get("learned", 0)  # 0: a Graft before wrote the curves
    stages = [head, *([second["history"]] if second else [])]
    return {
        "charts": [draw_curves(name, stages) for name in NAMES] + ([draw_rates(options, learned)] if learned else []),
        "stages": [
            describe_head(head, options, learned),
            *([describe_second(second, options)] if second else []),
        ],
        "tuned": tuned,
        "pass": {
            name: history.get(name)
            for name in (
                "images",
                "views",
                "features_computed",
                "features_kept",
                "feature_seconds",
                "images_per_second",
            )
        },
        "parity": history.get("parity"),
        "deterministic": history.get("deterministic"),
        "replicas": history.get("replicas"),
        "l2": history.get("l2"),
        "calibration": describe_calibration(history.get("calibration")),
    }


def describe_head(head: Curves, options: TrainerOptions, learned: int) -> dict[str, Any]:
    """Describes the first stage: epochs, where it stopped and why, and the weights that were taken."""
    done, losses = len(head["loss"]), head.get("val_loss", [])
    facts = {"name": "Head", "epochs": done, "planned": options.epochs, "learned": learned, **_last(head)}
    if not losses:
        return facts | {"words": f"All {done} epochs were run; no image was held out, so the last weights were taken."}
    best, patience = int(np.argmin(losses)) + 1, options.early_stopping_patience
    words = f"All {done} epochs were run."
    if done < options.epochs and stopped_early(losses, patience):
        words = f"Stopped after epoch {done} of {options.epochs}: the loss of the held-out images had not improved for "
        words += f"{patience} epochs."
    taken = (
        f"the weights of epoch {best}, the best one for them, were taken" if patience else "the last weights were taken"
    )
    return facts | {"words": f"{words} Of the train images some were held out; {taken}.", "best": best}


def describe_second(second: dict[str, Any], options: TrainerOptions) -> dict[str, Any]:
    """Describes the second stage: what it brought for the held-out images, and whether it was kept."""
    before, after, curves = second["before"], second["after"], second["history"]
    change = f"loss {before['loss']:.4f} before, {after['loss']:.4f} after; accuracy {before['accuracy']:.3f} before, "
    change += f"{after['accuracy']:.3f} after"
    kept = "kept" if second["kept"] else "not kept, as it made them no better: the backbone is as it came"
    facts = {
        "name": "Second stage",
        "epochs": len(curves["loss"]),
        "planned": options.fine_tune.epochs,
        **_last(curves),
    }
    return facts | {"words": f"The backbone's last layers learned, too. For the held-out images: {change}; {kept}."}


def describe_calibration(found: dict[str, Any] | None) -> str:
    """Describes the temperature and the answers that it was found from; empty for a run of an older Graft."""
    if found is None:
        return ""
    if found["source"] == "none":
        return f"Probabilities are as the head gives them: {found['reason']}."
    whose = (
        "of this head for images that were held out"
        if found["source"] == "held_out"
        else "of heads of the same recipe for images that each of them had not learned from"
    )
    words = f"The logits are divided by a temperature of {found['temperature']:.2f}, the most likely one for "
    words += f"{found['images']:,} answers {whose}. Their log loss was {found['before']:.4f} before, "
    return words + f"{found['after']:.4f} after; no answer changes by it."


def _last(curves: Curves) -> dict[str, Any]:
    return {"last": {name: values[-1] for name, values in curves.items() if values}}


def draw_curves(name: str, stages: list[Curves]) -> str:
    """Draws loss or accuracy over the epochs of all stages, of train and held-out images, as SVG."""

    def plot(axes: Any) -> None:
        start = 0
        for number, curves in enumerate(stages):
            for key, colour, words in ((name, FIRST, "train"), (f"val_{name}", SECOND, "held out")):
                if values := curves.get(key):
                    places = range(start + 1, start + len(values) + 1)
                    label = words if number == 0 else None
                    axes.plot(places, values, color=colour, marker="o" if len(values) == 1 else "", label=label)
            start += len(curves[name])
            if number + 1 < len(stages):
                axes.axvline(start + 0.5, color=FAINT, linestyle="--")
                axes.set_title("right of the dashes: second stage", loc="right", fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        axes.set_title(NAMES[name], loc="left", fontsize=11)
        axes.legend()

    ends = [f"{words} {curves[-1]:.4g}" for words, curves in _named(name, stages[-1])]
    return draw_chart(f"{NAMES[name]} by epoch; at the end {', '.join(ends)}", plot, (4.2, 2.6))


def _named(name: str, curves: Curves) -> list[tuple[str, list[float]]]:
    pairs = (("train", curves.get(name)), ("held out", curves.get(f"val_{name}")))
    return [(words, values) for words, values in pairs if values]


def draw_rates(options: TrainerOptions, learned: int) -> str:
    """Draws the learning rate of the head over all steps that were planned, as SVG; `learned`: images, at least 1."""
    recipe = Recipe.of(options)
    batch = min(options.batch_size, learned)
    steps = -(-passes(learned, batch) * learned // batch)
    rates = np.concatenate([learning_rates(recipe, steps, epoch) for epoch in range(options.epochs)])
    places = np.arange(1, len(rates) + 1)
    thin = max(len(rates) // POINTS, 1)

    def plot(axes: Any) -> None:
        axes.plot(places[::thin], rates[::thin], color=FIRST)
        axes.set_xlabel(f"step, {steps:,} an epoch")
        axes.set_title("Learning rate of the head", loc="left", fontsize=11)

    title = f"Learning rate by step: {options.schedule}, {options.learning_rate:g} at most, {len(rates):,} steps"
    return draw_chart(title, plot, (4.2, 2.6))
