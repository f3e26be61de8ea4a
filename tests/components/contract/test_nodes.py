"""Nodes that are declared by executor, inputs, outputs and parameters."""

import pickle

import pytest
from tfx import types
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts

from components.baseline_model import BaselineModel
from components.contract.nodes import BeamNode, PlainNode
from components.data_gate.component import DataGate
from components.evaluator.component import Evaluator
from components.example_gen.component import ImageExampleGen
from components.pusher import Pusher
from components.report.component import Report
from components.schema import ImportSchemaGen
from components.servable_check.component import ServableCheck

NODES = [ImageExampleGen, ImportSchemaGen, DataGate, BaselineModel, Evaluator, ServableCheck, Pusher, Report]


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_a_node_is_declared_once_and_found_again_by_its_name(node):
    assert set(node.SPEC_CLASS.INPUTS) == set(node.INPUTS)
    assert {name: row.type for name, row in node.SPEC_CLASS.OUTPUTS.items()} == node.OUTPUTS
    assert set(node.PARAMETERS) <= set(node.SPEC_CLASS.PARAMETERS)
    assert not any(row.optional for row in node.SPEC_CLASS.INPUTS.values())
    assert pickle.loads(pickle.dumps(node.SPEC_CLASS)) is node.SPEC_CLASS
    assert isinstance(node.EXECUTOR_SPEC, executor_spec.BeamExecutorSpec) == issubclass(node, BeamNode)
    assert node.EXECUTOR_SPEC.class_path == f"{node.EXECUTOR.__module__}.Executor"
    assert issubclass(node, PlainNode)


def test_a_node_makes_its_outputs_and_refuses_what_is_missing():
    given = {"serving_dir": "/s", "version": "none", "best": "", "source_fingerprint": "f"}
    node = BaselineModel(model=types.Channel(type=standard_artifacts.Model), **given)
    assert (node.id, node.exec_properties) == ("BaselineModel", given)
    assert {name: channel.type for name, channel in node.outputs.items()} == BaselineModel.OUTPUTS
    with pytest.raises(ValueError, match="Missing argument 'model'"):
        BaselineModel(**given)
    del given["best"]
    with pytest.raises(ValueError, match="Missing argument 'best'"):
        BaselineModel(model=types.Channel(type=standard_artifacts.Model), **given)
