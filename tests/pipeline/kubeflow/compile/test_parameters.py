"""Where a runtime parameter counts."""

import json
from dataclasses import replace

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from components.errors import InputError
from pipeline.config.configuration import known_keys
from pipeline.kubeflow.compile.compile import compile_config
from pipeline.kubeflow.compile.parameters import Binding, Parameter, _with_other_option, check_recorded, find_bindings
from pipeline.kubeflow.compiled import read_compiled
from pipeline.kubeflow.local.driver import resolve_arguments
from pipeline.kubeflow.local.record import write_config
from pipeline.kubeflow.local.values import to_argument
from pipeline.kubeflow.services import SERVICES
from pipeline.kubeflow.task import entrypoint
from tests.pipeline.kubeflow.conftest import KFP, make_config


def plan():
    from pipeline.config.configuration import Plan

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


def test_a_parameter_that_the_passport_would_not_hold_is_refused():
    place = ("custom_config", "passport", "config", "trainer", "epochs")
    for bindings in ([], [Binding("Trainer", place, "p")], [Binding("Pusher", place, "p", "x")]):
        with pytest.raises(InputError, match="the passport would not hold the p of a run"):
            check_recorded([Parameter("p", 1, "trainer.epochs", "config.trainer.epochs")], bindings)
    check_recorded([Parameter("p", 1, "trainer.epochs", "config.trainer.epochs")], [Binding("Pusher", place, "p")])


# Places in the passport for each parameter that is no option. One without a row fails the test below.
BUILT_IN = {
    "data_path": [("config", "data", "path"), ("config", "kubeflow", "data_path")],
    "data_fingerprint": [("data_fingerprint",)],
    "workdir": [("config", "kubeflow", "workdir")],
}
# They decide more than a value: what is compiled counts, and a run may not say otherwise.
REFUSED = {"beam.runner", "tuner.enabled", "data.path"}


def changeable_options():
    """Every option that compiles as a runtime parameter, with another value that it allows."""
    found = {}
    for key in known_keys():
        if key not in REFUSED and not key.startswith("kubeflow."):
            try:
                found[key], _ = _with_other_option(plan(), key)
            except InputError:
                continue
    return found


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_what_no_value_alone_decides_is_no_runtime_parameter(option):
    with pytest.raises(InputError, match=r"cannot change from run to run|of every pipeline; leave it out"):
        compile_config(make_config(kubeflow={"parameters": [option]}), KFP)


def resolved_task(pipeline, name, values):
    """A compiled task's own arguments and execution properties in a run with these parameters."""
    task = next(task for task in pipeline.tasks if task.name == name)
    given = {}
    for key, source in task.task.inputs.parameters.items():
        kind = source.WhichOneof("kind")
        if kind == "component_input_parameter":
            given[key] = values[source.component_input_parameter]
        elif kind == "task_output_parameter":
            given[key] = values.get(source.task_output_parameter.output_parameter_key, "none")
        else:
            given[key] = json_format.MessageToDict(source.runtime_value.constant)
    return resolve_arguments(list(task.container.args), given), given


def passport_of(pipeline, values):
    """What the Pusher of a compiled pipeline would complete to a passport."""
    args, given = resolved_task(pipeline, "Pusher", values)
    spec = json_format.Parse(args[args.index("--json_serialized_inputs_spec_args") + 1], proto.ComponentInputsSpec())
    executor_input = proto.ExecutorInput()
    for name, value in given.items():
        json_format.ParseDict(value, executor_input.inputs.parameter_values[name])
    settings = [args[number + 1] for number, arg in enumerate(args) if arg == "--set"]
    return json.loads(entrypoint.read_properties(executor_input, spec, settings)["custom_config"])["passport"]


def look_up(content, place):
    for key in place:
        content = content[key]
    return content


@pytest.mark.parametrize(
    "target", SERVICES.values(), ids=SERVICES
)  # for Vertex the configuration also says kubeflow.data_path
def test_the_passport_holds_every_runtime_parameter_as_the_run_has_it(tmp_path, target):
    options = changeable_options()
    assert {"trainer.epochs", "trainer.label_smoothing", "trainer.augment.zoom", "data.image_feature"} <= options.keys()
    config, file = make_config(target, kubeflow={"parameters": [*options]}), tmp_path / "pipeline.yaml"
    file.write_text(compile_config(config, target).to_yaml(), "utf-8")
    values = {name.replace(".", "_"): value for name, value in options.items()}
    values |= {"data_path": "/run/its own=data", "data_fingerprint": "f" * 64, "workdir": "/run/work"}
    pipeline = read_compiled(file)
    offered = set(pipeline.spec.root.input_definitions.parameters)
    assert offered == values.keys()
    passport, (planned, _) = passport_of(pipeline, values), resolved_task(pipeline, "Plan", values)
    places = {name.replace(".", "_"): [("config", *name.split("."))] for name in options} | BUILT_IN
    for name in offered:
        found = {place: look_up(passport, place) for place in places[name]}
        if target is KFP:
            found.pop(("config", "kubeflow", "data_path"), None)
        assert set(found.values()) == {values[name]}, name
    assert "photos" not in json.dumps(passport)
    for option, value in options.items():  # what Plan makes the model's digest of
        assert f"{option}={to_argument(value)}" in planned
    write_config(tmp_path / "config.yaml", pipeline, values)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8")) == passport["config"]


@pytest.fixture(scope="module")
def without_default(tmp_path_factory):
    """A compiled pipeline whose runs must say where the data lies."""
    file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    file.write_text(compile_config(make_config(data={"path": None}), KFP).to_yaml(), "utf-8")
    return read_compiled(file)


@pytest.mark.parametrize("path", ["sample:digits", "gs://b/x", "relative", "123", "none", "[1]", '{"a": 1}', "/a'b\\c"])
def test_a_data_path_of_any_form_is_in_the_passport(pipelines, without_default, path):
    values = {"data_path": path, "data_fingerprint": "f", "workdir": "/w", "trainer_epochs": 3}
    for pipeline in (pipelines[KFP], without_default):
        assert passport_of(pipeline, values)["config"]["data"]["path"] == path
