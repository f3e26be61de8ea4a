"""Runtime parameters: where in the compiled tasks each of them counts.

Which execution properties depend on an option, the DAG knows and no table does: the pipeline is built twice, with the
value and with another one, and the difference says where the parameter belongs. The passport is one of these places:
whatever a run can change is there as the run had it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.errors import InputError, did_you_mean
from pipeline.config.configuration import Config, Plan, known_keys, validate
from pipeline.kubeflow.compile import pointers

Properties = dict[str, dict[str, Any]]  # node id -> execution properties
OTHER_TEXT = "/graft-other-value"
OTHER_VERSION = 987_654_321
BEAM_ARGUMENTS = "beam_arguments"  # beside the execution properties of a node; nothing in them can follow a parameter
BUILT_IN = {"data.path": "data_path"}  # options that every run may change
PUSHER, PASSPORT = "Pusher", ("custom_config", "passport")  # where the passport is, among the properties


@dataclass(frozen=True)
class Parameter:
    """A runtime parameter.

    Attributes:
        name: in the compiled pipeline.
        default: string, number or bool; None: must be given.
        option: the option it stands for, such as `trainer.epochs`; empty for what is no option.
        recorded: dotted place in the passport that holds the run's value.
    """

    name: str
    default: str | int | float | bool | None
    option: str = ""
    recorded: str = ""


@dataclass(frozen=True)
class Binding:
    """A scalar in an execution property that follows a parameter: `before` + value + `after`.

    Attributes:
        node: id of the node.
        path: of the scalar, in the node's execution properties.
        parameter: its name.
        before: text before the value.
        after: text after it.
        as_given: True for what the run was given, where the task `Plan` makes another value of it.
    """

    node: str
    path: pointers.Path
    parameter: str
    before: str = ""
    after: str = ""
    as_given: bool = False

    @property
    def is_whole(self) -> bool:
        """Tells whether the execution property is the parameter's value and nothing else."""
        return len(self.path) == 1 and not self.before and not self.after


def option_parameters(config: Config) -> list[Parameter]:
    """Lists the options of `kubeflow.parameters` with their defaults.

    Raises:
        InputError: no such option, or none that is a number, a switch or a text.
    """
    return [
        Parameter(option.replace(".", "_"), _option_value(config, option), option, f"config.{option}")
        for option in config.kubeflow.parameters
    ]


def check_recorded(parameters: list[Parameter], bindings: list[Binding]) -> None:
    """Refuses a parameter whose value of a run the passport would not hold: such a model could not be made again.

    Raises:
        InputError: no place follows the parameter.
    """
    followed = {
        (binding.parameter, binding.path)
        for binding in bindings
        if binding.node == PUSHER and not binding.before and not binding.after
    }
    for parameter in parameters:
        if (parameter.name, (*PASSPORT, *parameter.recorded.split("."))) not in followed:
            raise InputError(
                f"kubeflow.parameters: the passport would not hold the {parameter.name} of a run; "
                "it cannot change from run to run."
            )


def _option_value(config: Config, option: str) -> str | int | float | bool:
    value: Any = config
    if option in BUILT_IN:
        raise InputError(
            f"kubeflow.parameters: {option} is the parameter {BUILT_IN[option]} of every pipeline; leave it out."
        )
    if option not in known_keys() or option.startswith("kubeflow."):
        keys = [key for key in known_keys() if "." in key and not key.startswith("kubeflow.")]
        raise InputError(
            f"kubeflow.parameters: there is no option '{option}'.{did_you_mean(option, keys)}\n"
            "Expected options in dotted form, such as trainer.epochs."
        )
    for part in option.split("."):
        value = getattr(value, part)
    if not isinstance(value, str | int | float | bool):
        raise InputError(
            f"kubeflow.parameters: {option} is {value!r}; only numbers, switches and texts can change from run to run."
        )
    return value


def find_bindings(plan: Plan, options: list[Parameter], build: Callable[[Plan], Properties]) -> list[Binding]:
    """Finds every place that follows a parameter.

    Args:
        plan: of the compiled pipeline.
        options: of `option_parameters`.
        build: gives the execution properties of a plan's pipeline.
    """
    base = build(plan)
    places = {"data.path": OTHER_TEXT, **({"kubeflow.data_path": OTHER_TEXT} if plan.config.kubeflow.data_path else {})}
    workdir = with_options(plan.config, {"kubeflow.workdir": OTHER_TEXT})
    changes = [
        ("data_path", OTHER_TEXT, replace(plan, data_path=OTHER_TEXT)),
        ("data_path", OTHER_TEXT, replace(plan, config=with_options(plan.config, places))),
        ("workdir", OTHER_TEXT, replace(plan, workdir=Path(OTHER_TEXT), config=workdir)),
        ("data_fingerprint", OTHER_TEXT, replace(plan, data_fingerprint=OTHER_TEXT)),
        ("baseline", OTHER_VERSION, replace(plan, baseline=str(OTHER_VERSION), parent=OTHER_VERSION)),
        ("best", OTHER_VERSION + 1, replace(plan, best=str(OTHER_VERSION + 1))),
        *((p.name, *_with_other_option(plan, p.option)) for p in options),
    ]
    found: dict[Binding, None] = {}
    for name, value, other in changes:
        as_given = name == "data_path" and other.data_path == plan.data_path
        for node, path, leaf in _differences(name, base, build(other)):
            binding = _bind(node, path, leaf, {name: value, "model_key": other.model_key})
            found[replace(binding, as_given=as_given)] = None
    return list(found)


def _differences(name: str, base: Properties, other: Properties) -> Iterator[tuple[str, pointers.Path, Any]]:
    if base.keys() != other.keys():
        raise InputError(
            f"kubeflow.parameters: {name} decides which nodes there are; it cannot change from run to run."
        )
    for node, properties in other.items():
        before, after = dict(pointers.leaves(base[node])), dict(pointers.leaves(properties))
        for path in [*after, *(path for path in before if path not in after)]:
            if path not in before or path not in after or before[path] != after[path]:
                yield node, path, after.get(path)


def _bind(node: str, path: pointers.Path, leaf: Any, values: dict[str, Any]) -> Binding:
    candidates = {} if path[0] == BEAM_ARGUMENTS else values
    for name, value in candidates.items():
        if leaf == value or leaf == str(value):
            return Binding(node, path, name)
    for name, value in candidates.items():  # a number may be anywhere in a text by chance, such as in a digest
        if isinstance(leaf, str) and isinstance(value, str) and value in leaf:
            before, _, after = leaf.partition(value)
            return Binding(node, path, name, before, after)
    name = next(iter(values))
    raise InputError(
        f"kubeflow.parameters: {name} decides more of {node} than one value ({pointers.to_pointer(path)}); "
        "it cannot change from run to run."
    )


def _with_other_option(plan: Plan, option: str) -> tuple[Any, Plan]:
    """Finds another value that the option allows, and the plan with it."""
    value = _option_value(plan.config, option)
    candidates: list[Any] = []
    if isinstance(value, int | float):
        candidates = [value * 2 + 1, value / 2 or 0.123, value + 1]
    if isinstance(value, bool):
        candidates = [not value]
    elif isinstance(value, str):
        candidates = [OTHER_TEXT]
    for candidate in candidates:
        try:
            return candidate, replace(plan, config=with_options(plan.config, {option: candidate}))
        except ValueError:
            continue
    raise InputError(f"kubeflow.parameters: {option} is a choice among words; it cannot change from run to run.")


def with_options(config: Config, values: dict[str, Any]) -> Config:
    """Makes a configuration with other values of some options, by their dotted names.

    Raises:
        ValueError: a value that is not allowed.
    """
    content = config.model_dump(mode="json")
    for option, value in values.items():
        section = content
        *sections, key = option.split(".")
        for name in sections:
            section = section[name]
        section[key] = value
    return validate(content)
