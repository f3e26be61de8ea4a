"""Runtime parameters: where in the compiled tasks each of them counts.

Which execution properties depend on an option, the DAG knows and no table does: the pipeline is built twice, with the
value and with another one, and the difference says where the parameter belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.errors import InputError, did_you_mean
from pipeline.config import Config, Plan, known_keys
from pipeline.kubeflow import pointers

Properties = dict[str, dict[str, Any]]  # node id -> execution properties
OTHER_TEXT = "/graft-other-value"
OTHER_VERSION = 987_654_321


@dataclass(frozen=True)
class Parameter:
    """A runtime parameter.

    Attributes:
        name: in the compiled pipeline.
        default: string, number or bool; None: must be given.
        option: the option it stands for, such as `trainer.epochs`; empty for what is no option.
        planned: True where the task `Plan` gives its value to the other tasks.
    """

    name: str
    default: str | int | float | bool | None
    option: str = ""
    planned: bool = False


@dataclass(frozen=True)
class Binding:
    """A scalar in an execution property that follows a parameter: `before` + value + `after`."""

    node: str
    path: pointers.Path
    parameter: str
    before: str = ""
    after: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the execution property is the parameter's value and nothing else."""
        return len(self.path) == 1 and not self.before and not self.after


def option_parameters(config: Config) -> list[Parameter]:
    """The options of `kubeflow.parameters` with their defaults.

    Raises:
        InputError: no such option, or none that is a number, a switch or a text.
    """
    return [
        Parameter(option.replace(".", "_"), _option_value(config, option), option)
        for option in config.kubeflow.parameters
    ]


def _option_value(config: Config, option: str) -> str | int | float | bool:
    value: Any = config
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
    """Every place that follows a parameter.

    Args:
        plan: of the compiled pipeline.
        options: of `option_parameters`.
        build: gives the execution properties of a plan's pipeline.
    """
    base = build(plan)
    changes = [
        ("data_path", OTHER_TEXT, replace(plan, data_path=OTHER_TEXT)),
        ("workdir", OTHER_TEXT, replace(plan, workdir=Path(OTHER_TEXT))),
        ("data_fingerprint", OTHER_TEXT, replace(plan, data_fingerprint=OTHER_TEXT)),
        ("baseline", OTHER_VERSION, replace(plan, baseline=str(OTHER_VERSION), parent=OTHER_VERSION)),
        ("best", OTHER_VERSION + 1, replace(plan, best=str(OTHER_VERSION + 1))),
        *((p.name, *_with_other_option(plan, p.option)) for p in options),
    ]
    found: dict[Binding, None] = {}
    for name, value, other in changes:
        for node, path, leaf in _differences(base, build(other)):
            found[_bind(node, path, leaf, {name: value, "model_key": other.model_key})] = None
    return list(found)


def _differences(base: Properties, other: Properties) -> Iterator[tuple[str, pointers.Path, Any]]:
    for node, properties in other.items():
        before = dict(pointers.leaves(base[node]))
        for path, leaf in pointers.leaves(properties):
            if path not in before or before[path] != leaf:
                yield node, path, leaf


def _bind(node: str, path: pointers.Path, leaf: Any, values: dict[str, Any]) -> Binding:
    for name, value in values.items():
        if leaf == value or leaf == str(value):
            return Binding(node, path, name)
    for name, value in values.items():  # a number may be anywhere in a text by chance, such as in a digest
        if isinstance(leaf, str) and isinstance(value, str) and value in leaf:
            before, _, after = leaf.partition(value)
            return Binding(node, path, name, before, after)
    name = next(iter(values))
    raise InputError(
        f"kubeflow.parameters: {name} decides more of {node} than one value ({pointers.to_pointer(path)}); "
        "it cannot change from run to run."
    )


def _with_other_option(plan: Plan, option: str) -> tuple[Any, Plan]:
    """Another value that the option allows, and the plan with it."""
    value = _option_value(plan.config, option)
    candidates: list[Any] = [value * 2 + 1, value / 2, value + 1] if isinstance(value, int | float) else []
    if isinstance(value, bool):
        candidates = [not value]
    elif isinstance(value, str):
        candidates = [OTHER_TEXT]
    for candidate in candidates:
        content = plan.config.model_dump(mode="json")
        section = content
        *sections, key = option.split(".")
        for name in sections:
            section = section[name]
        section[key] = candidate
        try:
            return candidate, replace(plan, config=Config.model_validate(content))
        except ValueError:
            continue
    raise InputError(f"kubeflow.parameters: {option} is a choice among words; it cannot change from run to run.")
