"""A search over features that are kept: what is tried, what decides, and what comes out."""

import dataclasses
import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from tfx.components.tuner import executor as tfx_tuner
from tfx.types import standard_artifacts

from components.errors import InputError
from components.options.trainer import AugmentOptions, TrainerOptions, tuned_values, with_values
from components.options.tuner import TunerOptions
from components.trainer import tune
from components.trainer.heads.epochs import HeadData, HeadTraining
from components.trainer.heads.head import hold_out
from components.trainer.training.checkpoints import TrainingState
from components.trainer.tune import HeadTuner, Problem, make_oracle, search_space, tuner_fn
from tests.components.trainer.toys import toy, toy_options
from tests.conftest import TRAIN_COUNT, WIDTH, artifact

SPACE = {"learning_rate": {"low": 0.0001, "high": 0.1, "log": True}, "hidden_units": [0, 4]}


@pytest.fixture
def problem(strategies):
    return make_problem(strategies)


def make_problem(strategies, devices="cpu", **options):
    values, split = toy(noise=1.5)
    held = hold_out(split, 0.3)
    return Problem(strategies[devices], toy_options(epochs=3, **options), HeadData(values, split.labels, held, 3))


def search(problem, folder, **wish):
    wish = TunerOptions.model_validate({"space": SPACE, "trials": 5, **wish})
    tuner = HeadTuner(make_oracle(wish, problem.options), directory=str(folder), project_name="x", overwrite=True)
    tuner.search(problem=problem)
    return tuner


def rows(tuner):
    trials = (tuner.oracle.trials[name] for name in tuner.oracle.start_order)
    return [(trial.hyperparameters.values, trial.score) for trial in trials]


@pytest.fixture
def quick(monkeypatch):
    """Trials that train nothing: what they come to follows from their values, and from how far they go."""

    def train(self, name, values, start=None, epochs=None):
        state = TrainingState.first(np.zeros(1))
        rate, units, until = values["learning_rate"], values.get("hidden_units", 0), epochs or self.options.epochs
        curve = [abs(np.log10(rate) + 2) + 1 / (1 + units + epoch) for epoch in range(until)]
        history = {"val_loss": curve, "val_accuracy": [np.cos(loss) for loss in curve]}
        return dataclasses.replace(state, epoch=until, history=history)

    monkeypatch.setattr(Problem, "train", train)


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband"])
def test_the_same_seed_gives_the_same_search(quick, problem, tmp_path, algorithm):
    first, second = (rows(search(problem, tmp_path / str(n), algorithm=algorithm, trials=4)) for n in range(2))
    assert first == second
    assert len(first) == 4 if algorithm != "hyperband" else len(first) > 2
    assert rows(search(problem, tmp_path / "other", algorithm=algorithm, trials=2, seed=9))[:2] != first[:2]


@pytest.mark.parametrize(("objective", "best_of"), [("val_loss", min), ("val_accuracy", max)])
def test_the_first_trial_is_the_configuration_and_the_best_is_the_best(quick, problem, tmp_path, objective, best_of):
    tuner = search(problem, tmp_path, algorithm="random", objective=objective)
    found, best = rows(tuner), tuner.get_best_hyperparameters()[0]
    assert found[0][0] == {"learning_rate": 0.05, "hidden_units": 0}
    assert best.values == best_of(found, key=lambda row: row[1])[0] != found[0][0]


def test_a_score_is_that_of_the_head_which_the_trainer_would_train(problem, tmp_path):
    (values, score), *_ = rows(search(problem, tmp_path, trials=1))
    state = problem.train("trial", values)
    assert score == min(state.history["val_loss"])
    last = Problem(**{**vars(problem), "options": toy_options(epochs=3, early_stopping_patience=0)})
    assert last.measure(state) == {name: state.history[name][-1] for name in ("val_loss", "val_accuracy")}
    part = problem.train("trial", values, epochs=1)
    assert part.epoch == 1
    assert problem.train("trial", values, part).history == state.history


def test_hyperband_goes_on_from_where_a_trial_stopped(quick, problem, tmp_path, monkeypatch):
    seen = []
    train = Problem.train

    def spy(self, name, values, start=None, epochs=None):
        state = train(self, name, values, start, epochs)
        seen.append((start.epoch if start else 0, epochs, values))
        return state

    monkeypatch.setattr(Problem, "train", spy)
    tuner = search(problem, tmp_path, algorithm="hyperband")
    continued = [row for row in seen if row[0]]
    assert continued
    assert all(before < epochs for before, epochs, _ in continued)
    assert all(set(values) == set(SPACE) for *_, values in seen)
    assert set(tuned_values(tuner.get_best_hyperparameters()[0].get_config())) == set(SPACE)


def test_a_loss_that_is_not_finite_is_a_failed_trial(problem, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="graft.progress")
    space = {"learning_rate": [0.05, 1e300]}
    tuner = search(problem, tmp_path, space=space, algorithm="random")
    assert tuner.get_best_hyperparameters()[0].values == {"learning_rate": 0.05}
    assert "1 failed, best val_loss" in caplog.text

    def fail(self, *_):
        raise InputError("not finite")

    monkeypatch.setattr(Problem, "train", fail)
    with pytest.raises(InputError, match="expected at least one head with a finite loss, all 1 trials failed"):
        search(problem, tmp_path, space={"learning_rate": [1e300]}, algorithm="random")


def test_any_other_error_ends_the_search(problem, tmp_path, monkeypatch):
    def broken(self, *_):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Problem, "train", broken)
    with pytest.raises(tune.TrialBrokenError, match="trial 0: inside"):
        search(problem, tmp_path)


def test_class_weights_and_replicas_are_those_of_the_trainer(strategies):
    made = (
        make_problem(strategies),
        make_problem(strategies, "cpu:2"),
        make_problem(strategies, class_weights="balanced"),
    )
    plain, two, weighted = (one.measure(one.train("trial", {})) for one in made)
    assert two == pytest.approx(plain, abs=1e-5)
    assert weighted != plain


def test_the_space_has_the_types_and_the_values_of_the_options():
    wish = TunerOptions.model_validate(
        {
            "objective": "val_accuracy",
            "space": {
                "learning_rate": {"low": 0.01, "high": 0.1, "log": True},
                "epochs": {"low": 5, "high": 30},
                "schedule": ["constant", "cosine"],
                "hidden_units": [8, 16],
            },
        }
    )
    space = search_space(wish, TrainerOptions(epochs=10))
    found = {parameter.name: parameter for parameter in space.space}
    assert found["learning_rate"].default == 0.01  # 0.001 lies outside
    assert (found["epochs"].default, type(found["epochs"]).__name__) == (10, "Int")
    assert (found["schedule"].default, found["hidden_units"].default) == ("cosine", 8)
    for seed in range(5):
        values = {name: parameter.random_sample(seed) for name, parameter in found.items()}
        assert 0.01 <= with_values(TrainerOptions(), values).learning_rate <= 0.1


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"space": {"dropout": {"low": 0, "high": 1}}}, "trainer.dropout cannot be 1.0: Input should be less than 1"),
        ({"space": {"hidden_units": [1.5]}}, "trainer.hidden_units cannot be 1.5: Input should be a valid integer"),
        ({"space": {"l2": {"low": 2, "high": 1}}}, "expected low below high, got 2 and 1"),
        ({"space": {"l2": {"low": 0, "high": 1, "log": True}}}, "a logarithmic range begins above 0, got 0"),
        ({"space": {}}, "expected at least one option to search"),
        ({"space": {"label_smoothing": [0, 0.1]}}, "losses under another label_smoothing do not compare"),
        ({"space": {"epochs": [5]}, "algorithm": "hyperband"}, "hyperband decides on the epochs itself"),
        ({"space": {"backbone": ["VGG16"]}}, "Input should be 'learning_rate', 'dropout'"),
    ],
)
def test_a_space_that_the_trainer_cannot_take_is_refused(wish, text):
    with pytest.raises(ValueError, match=text):
        TunerOptions.model_validate(wish)


def test_numbers_that_yaml_takes_for_words_are_numbers():
    wish = TunerOptions.model_validate({"space": {"learning_rate": ["1e-3", 0.01]}})
    assert wish.space == {"learning_rate": [0.001, 0.01]}
    assert TunerOptions.from_json(wish.to_json()) == wish


@pytest.fixture
def given(trained, transform_uri, examples_artifact, tmp_path):
    """Calls TFX's own executor on the records of the session; gives what it wrote."""

    def run(options, **wish):
        folders = {name: tmp_path / name for name in ("best_hyperparameters", "tuner_results")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        kinds = (standard_artifacts.HyperParameters, standard_artifacts.TunerResults)
        outputs = {name: [artifact(kind, uri)] for (name, uri), kind in zip(folders.items(), kinds, strict=True)}
        config = {
            "options": options.to_json(),
            "tuner": TunerOptions.model_validate({"trials": 3, **wish}).to_json(),
            "features_dir": str(trained.kept / "features"),
        }
        graph = artifact(standard_artifacts.TransformGraph, transform_uri)
        context = tfx_tuner.Executor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1")
        tfx_tuner.Executor(context).Do(
            {"examples": [examples_artifact], "transform_graph": [graph]},
            outputs,
            {
                "tuner_fn": "components.trainer.tune.tuner_fn",
                "train_args": '{"splits": ["train"]}',
                "eval_args": '{"splits": ["eval"]}',
                "custom_config": json.dumps(config),
            },
        )
        files = [next(folder.iterdir()) for folder in folders.values()]
        return [json.loads(file.read_text()) for file in files]

    return run


def test_tfx_runs_the_search_and_writes_both_artifacts(given, trained, said):
    best, results = given(trained.options.model_copy(update={"epochs": 1}), trials=2)
    assert set(best["values"]) == {"learning_rate", "dropout", "l2"}
    assert [row["score"] for row in results] == sorted(row["score"] for row in results)
    assert {name: results[0][name] for name in best["values"]} == best["values"]
    assert not any("features of" in line for line in said())  # all of them were kept
    assert said()[-1].startswith("2 trials in ")
    assert "as configured): dropout 0" in said()[-1]


def test_the_search_starts_from_what_the_trainer_would_do_where_options_leave_it_open(
    trained, train_records, eval_records, transform_uri, tmp_path
):
    options = trained.options.model_copy(update={"validation_fraction": None})
    kept = trained.kept / "features"
    made = tuner_fn(fn_args(options, train_records, eval_records, transform_uri, tmp_path, kept))
    chosen = made.fit_kwargs["problem"].options
    assert chosen.l2 > 0
    assert chosen.early_stopping_patience == 0  # the Trainer holds nothing out, and stops at the last epoch
    space = made.tuner.oracle.get_space()
    assert space.get("l2") == pytest.approx(np.clip(chosen.l2, 1e-4, 3.0))
    assert space.get("dropout") == options.dropout


def test_kept_views_are_learned_from(given, trained, monkeypatch):
    seen = []
    start = HeadTraining.__init__

    def spy(self, strategy, recipe, data, name):
        seen.append((data.values, data.held))
        start(self, strategy, recipe, data, name=name)

    monkeypatch.setattr(HeadTraining, "__init__", spy)  # TFX loads the module of a tuner_fn again
    augment = AugmentOptions(flip="both", views=2)  # other views than those of test_train.py, which shares the store
    given(trained.options.model_copy(update={"epochs": 1, "augment": augment}), trials=1)
    ((values, held),) = seen
    assert values.shape == (3 * TRAIN_COUNT, WIDTH)
    assert held.any()
    assert held.reshape(-1, 3).std(axis=1).max() == 0  # views of a held-out image are held out too


def test_fresh_views_are_refused(trained, train_records, eval_records, transform_uri, tmp_path):
    options = trained.options.model_copy(update={"augment": AugmentOptions(flip="horizontal", views=0)})
    with pytest.raises(InputError, match=r"views that are fresh each epoch .* Set|trainer.augment.views: 2 or more"):
        tuner_fn(fn_args(options, train_records, eval_records, transform_uri, tmp_path, trained.kept / "features"))


def fn_args(options, train_records, eval_records, transform_uri, tmp_path, features_dir="", **wish):
    return SimpleNamespace(
        custom_config={
            "options": options.to_json(),
            "tuner": TunerOptions.model_validate(wish).to_json(),
            "features_dir": str(features_dir),
        },
        transform_graph_path=transform_uri,
        train_files=train_records.pattern,
        eval_files=eval_records.pattern,
        working_dir=str(tmp_path),
    )


def test_several_workers_are_refused(trained, train_records, eval_records, transform_uri, tmp_path, monkeypatch):
    arguments = fn_args(trained.options, train_records, eval_records, transform_uri, tmp_path)
    monkeypatch.setattr(tune, "read_cluster", lambda: SimpleNamespace(workers=2))
    with pytest.raises(InputError, match="tuner: expected one worker, TF_CONFIG names several"):
        tuner_fn(arguments)


def test_values_of_keras_tuner_itself_are_no_options():
    config = {"values": {"dropout": 0.5, "tuner/epochs": 3, "tuner/bracket": 1}}
    assert tuned_values(config) == {"dropout": 0.5}
    assert tuned_values(None) == {}
    changed = with_values(TrainerOptions(epochs=7), {"dropout": 0.5})
    assert (changed.dropout, changed.epochs) == (0.5, 7)
    with pytest.raises(ValueError, match="Extra inputs"):
        with_values(TrainerOptions(), {"droput": 0.5})
    assert np.isclose(with_values(TrainerOptions(), {"l2": 0.25}).l2, 0.25)
