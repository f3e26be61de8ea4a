"""The `tuner_fn` of TFX's Tuner: heads are tried over kept features, and held-out images of the train split decide.

A trial trains a head with the very loop of the Trainer. KerasTuner chooses what to try next.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.errors import InputError, first_line
from components.options.trainer import TrainerOptions, tuned_values, with_values
from components.options.tuner import SearchRange, TunerOptions
from components.trainer.devices.strategy import make_strategy
from components.trainer.devices.tf_config import read_cluster
from components.trainer.features.augment import FreshViews
from components.trainer.heads.epochs import HeadData, HeadTraining
from components.trainer.heads.head import hold_out
from components.trainer.heads.scaling import find_penalty
from components.trainer.outliers.typicality import SAMPLE
from components.trainer.prepare import prepare_training
from components.trainer.training.checkpoints import TrainingState
from components.trainer.training.loop import run_training
from components.trainer.training.schedule import Recipe

progress = logging.getLogger("graft.progress")

EPOCHS, GOES_ON_FROM = "tuner/epochs", "tuner/trial_id"  # Hyperband's own hyper-parameters


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Computes the features that are not kept yet, and gives TFX the search.

    Args:
        fn_args: of TFX; `custom_config` holds `options` and `tuner`, a `TrainerOptions` and a `TunerOptions` as JSON,
            and the folder `features_dir`.

    Raises:
        InputError: views that are fresh each epoch, or several workers.
    """
    options = TrainerOptions.from_json(fn_args.custom_config["options"])
    wish = TunerOptions.from_json(fn_args.custom_config["tuner"])
    strategy = make_strategy(options.devices)
    problem = gather_problem(fn_args, options, wish, strategy)
    oracle = make_oracle(wish, problem.options)
    tuner = HeadTuner(oracle, directory=fn_args.working_dir, project_name="heads", overwrite=True)
    return TunerFnResult(tuner=tuner, fit_kwargs={"problem": problem})


@dataclass(frozen=True)
class Problem:
    """What all trials learn from.

    Attributes:
        strategy: the replicas.
        options: of the Trainer, with an L2; a trial's values take the place of theirs.
        data: features of the train split and of its kept views; the held-out images decide.
        even: on which scale, see `Penalty`.
    """

    strategy: tf.distribute.Strategy
    options: TrainerOptions
    data: HeadData
    even: bool = False

    def train(
        self, name: str, values: dict[str, Any], start: TrainingState | None = None, epochs: int | None = None
    ) -> TrainingState:
        """Trains one head.

        Args:
            name: for the log.
            values: options of the Trainer.
            start: how far it has come already; None: nowhere.
            epochs: where it stops at the latest; None: where the options say. Learning rates follow the options.

        Raises:
            InputError: the loss is not finite.
        """
        recipe = Recipe.of(with_values(self.options, values), even=self.even)
        training = HeadTraining(self.strategy, recipe, self.data, name=name)
        return run_training(training, start or training.start(), until=epochs)

    def measure(self, state: TrainingState) -> dict[str, float]:
        """Gives `val_loss` and `val_accuracy` of the head that the Trainer would take: best or last epoch."""
        losses = state.history["val_loss"]
        epoch = int(np.argmin(losses)) if self.options.early_stopping_patience else len(losses) - 1
        return {name: state.history[name][epoch] for name in ("val_loss", "val_accuracy")}


def gather_problem(
    fn_args: FnArgs, options: TrainerOptions, wish: TunerOptions, strategy: tf.distribute.Strategy
) -> Problem:
    """Gathers the features of the train split, from the store or through the backbone, as the Trainer does.

    Raises:
        InputError: views that are fresh each epoch, several workers, or nothing that decides.
    """
    if read_cluster().workers > 1:
        raise InputError(
            "tuner: expected one worker, TF_CONFIG names several.\nSearch without it, or leave out --tune."
        )
    given = (fn_args.train_files, fn_args.eval_files, fn_args.transform_graph_path)
    folder, beam_args = fn_args.custom_config.get("features_dir", ""), fn_args.custom_config.get("beam_args", ())
    prepared = prepare_training(options, strategy, given, folder, beam_args, SAMPLE)
    inputs, classes = prepared.inputs, len(prepared.classes)
    if isinstance(inputs.values, FreshViews):
        raise InputError(
            "tuner: views that are fresh each epoch (trainer.augment.views: 0) cost a pass through the backbone an "
            "epoch in every trial.\nSet trainer.augment.views: 2 or more, which are kept, or leave out --tune."
        )
    held = hold_out(inputs.learned, wish.validation_fraction)
    if not held.any():
        raise InputError(
            f"tuner.validation_fraction: expected images to be held out, {wish.validation_fraction:g} of "
            f"{len(prepared.train):,} are none.\nSet a larger share."
        )
    left_open: dict[str, Any] = {} if options.held_out else {"early_stopping_patience": 0}  # nor will the Trainer stop
    learned = inputs.values, inputs.learned, held, classes, options.class_weights
    found = find_penalty(strategy, *learned, prepared.known)
    if options.l2 is None:
        left_open["l2"] = found.l2
    data = HeadData(inputs.values, inputs.learned.labels, held, classes)
    return Problem(strategy, with_values(options, left_open), data, found.even)


def search_space(wish: TunerOptions, options: TrainerOptions) -> keras_tuner.HyperParameters:
    """Builds KerasTuner's space; defaults are what the Trainer's options say, as near as the space has it."""
    space = keras_tuner.HyperParameters()
    for name, values in sorted(wish.space.items()):
        now = getattr(options, name)
        if isinstance(values, SearchRange):
            make = space.Int if isinstance(now, int) else space.Float
            kind = type(now)
            default = kind(min(max(now, values.low), values.high))
            sampling = "log" if values.log else "linear"
            make(name, kind(values.low), kind(values.high), sampling=sampling, default=default)
        else:
            space.Choice(name, values, default=now if now in values else values[0])
    return space


class AsConfiguredFirst:
    """An oracle whose first trial is the configuration itself, so that the search says what it gains."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Chooses the values of the next trial."""
        if self.trials:  # type: ignore[attr-defined]
            return super().populate_space(trial_id)  # type: ignore[misc]
        space = self.hyperparameters.space  # type: ignore[attr-defined]
        values = {parameter.name: parameter.default for parameter in space}
        return {"status": TrialStatus.RUNNING, "values": values}


class RandomOracle(AsConfiguredFirst, keras_tuner.oracles.RandomSearchOracle):
    """KerasTuner's random search."""


class BayesianOracle(AsConfiguredFirst, keras_tuner.oracles.BayesianOptimizationOracle):
    """KerasTuner's Gaussian process."""


def make_oracle(wish: TunerOptions, options: TrainerOptions) -> keras_tuner.Oracle:
    """Makes what chooses the trials; the same choices for the same seed and the same measurements."""
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(wish.objective, "min" if wish.objective == "val_loss" else "max"),
        "hyperparameters": search_space(wish, options),
        "seed": wish.seed,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "max_consecutive_failed_trials": sys.maxsize,  # a search without a single success is told as such
    }
    if wish.algorithm == "hyperband":
        return keras_tuner.oracles.HyperbandOracle(max_epochs=options.epochs, **common)
    if wish.algorithm == "random":
        return RandomOracle(max_trials=wish.trials, **common)
    first = max(3, min(2 * len(wish.space), wish.trials // 2))  # random ones; KerasTuner's own 3 an option are many
    return BayesianOracle(max_trials=wish.trials, num_initial_points=first, **common)


class TrialBrokenError(keras_tuner.errors.FatalError):
    """Ends the search: KerasTuner would swallow any other error and go on."""


@dataclass
class Tally:
    """The states that trials ended in, and how many failed."""

    started: float = field(default_factory=time.monotonic)
    states: dict[str, TrainingState] = field(default_factory=dict)
    failed: int = 0


class HeadTuner(BaseTuner):
    """Tries heads one after the other."""

    def on_search_begin(self) -> None:
        """Starts the tally."""
        self.tally = Tally()

    def run_trial(self, trial: Any, problem: Problem) -> dict[str, float]:
        """Trains a head with a trial's values, and measures it on the held-out images.

        Raises:
            FailedTrialError: the loss is not finite: the search goes on.
            TrialBrokenError: anything else.
        """
        values = trial.hyperparameters.values
        try:
            start = self.tally.states.get(values.get(GOES_ON_FROM, ""))
            name = f"trial {int(trial.trial_id) + 1}{self._so_far()}"
            state = problem.train(name, tuned_values({"values": values}), start, values.get(EPOCHS))
        except InputError as error:
            self.tally.failed += 1
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise TrialBrokenError(f"trial {trial.trial_id}: {first_line(error)}") from error
        if EPOCHS in values:
            self.tally.states[trial.trial_id] = state
        return problem.measure(state)

    def on_search_end(self) -> None:
        """Tells the log the best values and score.

        Raises:
            InputError: no trial was finished.
        """
        best = self._best()
        if best is None:
            raise InputError(
                f"tuner: expected at least one head with a finite loss, all {self.tally.failed} trials failed.\n"
                "Lower the ends of tuner.space, above all that of learning_rate."
            )
        count, seconds = len(self.oracle.trials), time.monotonic() - self.tally.started
        first = self.oracle.trials[self.oracle.start_order[0]]
        before = f" ({first.score:.4f} as configured)" if self._knows_start(first) else ""
        found = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in sorted(tuned_values({"values": best.hyperparameters.values}).items())
        )
        failed = f", {self.tally.failed} failed" if self.tally.failed else ""
        text = "%d trials in %.0f s%s, best %s %.4f%s: %s"
        progress.info(
            text, count, seconds, failed, self.oracle.objective.name, best.score, before, found, extra={"done": True}
        )

    def _knows_start(self, first: Any) -> bool:
        return isinstance(self.oracle, AsConfiguredFirst) and first.score is not None

    def _so_far(self) -> str:
        """The best score of the trials that are over, in words."""
        best = self._best()
        return f" (best so far {best.score:.4f})" if best else ""

    def _best(self) -> Any:
        """The best trial that is over; None: there is none. KerasTuner would give others then."""
        return next((trial for trial in self.oracle.get_best_trials(1) if trial.status == TrialStatus.COMPLETED), None)
