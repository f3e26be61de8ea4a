"""Where a runtime parameter counts."""

from dataclasses import replace

import pytest

from components.errors import InputError
from pipeline.kubeflow.parameters import Binding, Parameter, find_bindings
from tests.pipeline.kubeflow.conftest import make_config


def plan():
    from pipeline.config import Plan

    config = make_config()
    return Plan(config, config.kubeflow.workdir, "/mnt/graft/photos", "")


def find(build, option="trainer.epochs"):
    return find_bindings(plan(), [Parameter("p", 20, option)] if option else [], build)


def test_numbers_texts_and_parts_of_texts_are_found():
    def build(made):
        epochs = made.config.trainer.epochs
        return {"A": {"epochs": epochs, "text": f"{epochs}", "place": f"{made.workdir}/serving", "same": 1}}

    assert find(build) == [
        Binding("A", ("place",), "workdir", "", "/serving"),
        Binding("A", ("epochs",), "p"),
        Binding("A", ("text",), "p"),
    ]


def test_a_number_inside_a_digest_is_chance():
    """The other number that is tried, 41, may well stand in a digest over it."""

    def build(made):
        return {"A": {"key": made.model_key, "epochs": made.config.trainer.epochs}}

    keys = {binding.parameter for binding in find(build) if binding.path == ("key",)}
    assert keys == {"model_key"}
    for value in range(2, 30):
        changed = replace(plan(), config=make_config(trainer={"weights": "none", "epochs": value}))
        found = find_bindings(changed, [Parameter("p", value, "trainer.epochs")], build)
        assert {b.parameter for b in found if b.path == ("key",)} == {"model_key"}


def test_what_follows_in_another_way_cannot_change():
    with pytest.raises(InputError, match="p decides more of A than one value"):
        find(lambda made: {"A": {"double": 2 * made.config.trainer.epochs}})


def test_the_served_version_is_a_text_here_and_a_number_there():
    found = find(lambda made: {"A": {"version": made.baseline, "parent": made.parent, "best": made.best}}, option="")
    assert {(b.path[0], b.parameter) for b in found} == {
        ("version", "baseline"),
        ("parent", "baseline"),
        ("best", "best"),
    }
