"""How the model learned, as the page shows it."""

import pytest

from components.options.trainer import TrainerOptions
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import learning
from components.report.sections.learning import describe_head
from tests.components.report.show import show

SUMMARY = {
    "run_id": "20260131-120000-abcd",
    "seconds": {"startup": 12.0, "Data": 8.0, "Trainer": 20.0, "Pusher": 0.0, "total": 40.0},
    "cached": ["Pusher"],
    "peak_rss_mb": 1341.6,
    "tuning": None,
}


def curves(losses):
    return {"loss": [1.0] * len(losses), "accuracy": [0.5] * len(losses), "val_loss": losses}


@pytest.mark.parametrize(
    ("losses", "options", "words"),
    [
        ([3.0, 1.0, 2.0, 2.0], {"epochs": 9, "early_stopping_patience": 2}, "Stopped after epoch 4 of 9: the loss"),
        (
            [3.0, 1.0, 2.0, 2.0],
            {"epochs": 9, "early_stopping_patience": 2},
            "the weights of epoch 2, the best one for them",
        ),
        (
            [3.0, 2.0, 1.0],
            {"epochs": 3},
            "All 3 epochs were run. Of the train images some were held out; the weights of epoch 3",
        ),
        ([1.0, 2.0], {"epochs": 2, "early_stopping_patience": 0}, "the last weights were taken"),
        ([], {"epochs": 2}, "no image was held out, so the last weights were taken"),
    ],
)
def test_where_learning_stopped_is_said_in_words(losses, options, words):
    head = curves(losses) if losses else {"loss": [1.0, 0.5], "accuracy": [0.5, 0.6]}
    assert words in describe_head(head, TrainerOptions(**options), 10)["words"]


def test_curves_of_both_stages_and_the_second_one_in_words(made_run):
    second = {
        "kept": False,
        "before": {"loss": 0.5, "accuracy": 0.9},
        "after": {"loss": 0.6, "accuracy": 0.8},
        "history": curves([0.6, 0.7]),
        "why_not_deterministic": None,
    }
    made_run.history = {"head": curves([0.7, 0.5]), "fine_tune": second, "views": 2, "learned": 24}
    made_run.passport["config"]["trainer"] |= {"fine_tune": {"layers": 3}, "validation_fraction": 0.3}
    html = show(learning, made_run.inputs())
    assert html.count("<svg") == 3
    assert "second stage" in html
    assert "loss 0.5000 before, 0.6000 after; accuracy 0.900 before, 0.800 after; not kept" in html
    found = learning.gather(made_run.inputs(), Pictures())
    assert [stage["epochs"] for stage in found["stages"]] == [2, 2]
    assert "It learned from 24 images, views counted." in html


def test_the_learning_rate_has_as_many_steps_as_the_head_took(made_run):
    chart = learning.draw_rates(TrainerOptions(epochs=3, batch_size=10), 1000)
    assert 'aria-label="Learning rate by step: cosine, 0.003 at most, 300 steps"' in chart
    assert "step, 100 an epoch" in chart
    assert "step, 51 an epoch" in learning.draw_rates(TrainerOptions(epochs=1, batch_size=32), 12 * 17)


def test_curves_of_an_older_graft_come_without_a_learning_rate(made_run):
    made_run.history.pop("learned")
    html = show(learning, made_run.inputs())
    assert html.count("<svg") == 2
    assert "It learned from" not in html


def test_options_that_a_search_found_count(made_run, monkeypatch):
    inputs = made_run.inputs()
    inputs.facts["tuned"] = {"learning_rate": 0.05}
    html = show(learning, inputs)
    assert "0.05 at most" in html
    assert "Found by a search: learning_rate 0.05." in html


def test_the_time_of_each_node_is_a_bar_where_it_was_and_cached_ones_are_marked(made_run):
    html = show(learning, made_run.inputs(), {"summary": SUMMARY})
    assert "40 s in all" in html
    assert 'Start-up</th><td class="number">4.0</td>' in html
    assert "margin-left:30.00%;width:50.00%" in html, "the Trainer, after 4 s of start-up and 8 s of data"
    assert '<tr class="cached"><th scope="row">Pusher <span class="badge">kept</span>' in html
    assert "1,342 MB" in html


def test_a_page_of_a_task_knows_no_seconds(made_run):
    assert "has the seconds of each node: graft report" in show(learning, made_run.inputs())


def test_trials_of_a_search_are_a_table(made_run):
    trials = [{"trial": f"{n:02d}", "score": n / 10, "l2": 0.1, "dropout": 0.5} for n in range(25)]
    summary = SUMMARY | {"tuning": {"values": {"l2": 0.1, "dropout": 0.5}, "trials": trials}}
    html = show(learning, made_run.inputs(), {"summary": summary})
    assert "25 trials; the best values were taken: dropout 0.5, l2 0.1." in html
    assert "20 of 25" in html
    assert html.count('<th scope="row">0') + html.count('<th scope="row">1') == 20


def test_without_a_model_a_sentence_says_so():
    assert learning.gather(ReportInputs({}), Pictures()) == "No model was trained: the run ended before."
