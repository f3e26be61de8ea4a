"""TFX nodes of our own, each declared by its executor, inputs, outputs and parameters.

TFX asks for a specification class, an executor specification and a constructor a node; they all say the same again, so
`PlainNode` makes them. Every parameter of ours is a text; options are JSON, `source_fingerprint` is the digest of the
code behind the node, and `override` that of `gates.override_for`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, base_component, executor_spec
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

ArtifactTypes = dict[str, type[types.Artifact]]


class PlainNode(base_component.BaseComponent):
    """Base of nodes; the constructor takes every input and parameter by name, and TFX refuses what is missing.

    Attributes:
        EXECUTOR: the executor's class.
        INPUTS: {name: type of artifact}; none may be left out.
        OUTPUTS: {name: type of artifact}.
        PARAMETERS: names of execution properties.
        STOCK: a specification of TFX's that the node adds to; None: it has its own.
    """

    EXECUTOR: ClassVar[type]
    INPUTS: ClassVar[ArtifactTypes] = {}
    OUTPUTS: ClassVar[ArtifactTypes] = {}
    PARAMETERS: ClassVar[tuple[str, ...]] = ()
    STOCK: ClassVar[type[ComponentSpec] | None] = None
    MAKE_EXECUTOR_SPEC: ClassVar[type] = executor_spec.ExecutorClassSpec

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "EXECUTOR" in vars(cls):
            cls.SPEC_CLASS = _make_spec(cls)
            cls.EXECUTOR_SPEC = cls.MAKE_EXECUTOR_SPEC(cls.EXECUTOR)

    def __init__(self, **given: Any) -> None:
        made = {name: types.Channel(type=kind) for name, kind in self.OUTPUTS.items()}
        super().__init__(self.SPEC_CLASS(**given, **made))


class BeamNode(PlainNode, base_beam_component.BaseBeamComponent):
    """Base of nodes whose executor runs Beam."""

    MAKE_EXECUTOR_SPEC = executor_spec.BeamExecutorSpec


def _make_spec(node: type[PlainNode]) -> type[ComponentSpec]:
    """Makes the specification class of a node; pickle finds it as an attribute of the node's class."""
    parameters = {name: ExecutionParameter(type=str) for name in node.PARAMETERS}
    attributes = {
        "__doc__": f"Specification of {node.__name__}.",
        "__module__": node.__module__,
        "__qualname__": f"{node.__qualname__}.SPEC_CLASS",
        "INPUTS": {name: ChannelParameter(type=kind) for name, kind in node.INPUTS.items()},
        "OUTPUTS": {name: ChannelParameter(type=kind) for name, kind in node.OUTPUTS.items()},
        "PARAMETERS": {**node.STOCK.PARAMETERS, **parameters} if node.STOCK else parameters,
    }
    return type("SPEC_CLASS", (node.STOCK or ComponentSpec,), attributes)
