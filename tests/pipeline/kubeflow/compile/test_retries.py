"""Retries of the compiled tasks, held against what Argo Workflows makes of them.

The rules are those of `processNodeRetries` in workflow/controller/operator.go (3.4 to 4.1), and of
backend/src/v2/compiler/argocompiler/container.go in kubeflow/pipelines (2.4 to 2.17), which hands the numbers on.
"""

from dataclasses import dataclass

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as proto

from pipeline.kubeflow.compile.checks import PLAN_NODE
from pipeline.kubeflow.compile.compile import compile_config
from pipeline.kubeflow.services import SERVICES
from tests.pipeline.kubeflow.conftest import KFP, VERTEX, make_config

MAY_SAY_NO = {PLAN_NODE, "DataGate", "Pusher"}
RETRIES = 3
DAY = 24 * 3600


@dataclass
class Argo:
    """What Argo does with a task whose attempts all fail: how many it starts, and which it cuts short."""

    started: int
    cut: int


def run_on_argo(policy: proto.PipelineTaskSpec.RetryPolicy, length: int) -> Argo:
    """Plays attempts of so many seconds; unset durations are "0", the parameters' default."""
    now, attempt, cut = 0, 1, 0
    deadline = policy.backoff_max_duration.seconds  # after the start of the first attempt
    while True:
        ends = now + length
        if attempt > 1 and ends > deadline:
            ends, cut = deadline, cut + 1
        pause = policy.backoff_duration.seconds * int(policy.backoff_factor) ** (attempt - 1)
        if ends > deadline or ends + pause > deadline or attempt > policy.max_retry_count:
            return Argo(attempt, cut)
        now, attempt = ends + pause, attempt + 1


@pytest.fixture(scope="module", params=SERVICES.values(), ids=SERVICES)
def tasks(request):
    """Every task of a pipeline that tunes, with its retry policy."""
    config = make_config(request.param, tuner={"enabled": True}, kubeflow={"retries": RETRIES})
    spec = json_format.ParseDict(compile_config(config, request.param).spec, proto.PipelineSpec())
    return request.param, spec.root.dag.tasks


def test_every_task_that_cannot_say_no_is_retried_and_no_other(tasks):
    _, found = tasks
    assert {name for name, task in found.items() if not task.HasField("retry_policy")} == MAY_SAY_NO
    assert {task.retry_policy.max_retry_count for name, task in found.items() if name not in MAY_SAY_NO} == {RETRIES}


@pytest.mark.parametrize("length", [1, 11 * 60, 3600, 10 * DAY, 60 * DAY])
def test_on_kubeflow_no_length_of_a_task_takes_its_retries_away(tasks, length):
    target, found = tasks
    for name in set(found) - MAY_SAY_NO if target is KFP else ():
        assert run_on_argo(found[name].retry_policy, length) == Argo(started=RETRIES + 1, cut=0), name


def test_the_rules_find_the_windows_that_are_too_short():
    short = proto.PipelineTaskSpec.RetryPolicy(max_retry_count=RETRIES, backoff_factor=2.0)
    assert run_on_argo(short, 60) == Argo(started=1, cut=0)  # unset: nothing is ever retried
    short.backoff_duration.seconds, short.backoff_max_duration.seconds = 30, 600
    assert run_on_argo(short, 11 * 60) == Argo(started=1, cut=0)
    assert run_on_argo(short, 400) == Argo(started=2, cut=1)  # ten minutes after the first start


def test_on_vertex_a_pause_is_no_longer_than_it_allows(tasks):
    target, found = tasks
    if target is VERTEX:
        assert {found[name].retry_policy.backoff_max_duration.seconds for name in set(found) - MAY_SAY_NO} == {3600}


@pytest.mark.parametrize("node", sorted(MAY_SAY_NO))
def test_who_asks_for_it_by_name_has_a_gate_asked_again(node):
    config = make_config(kubeflow={"retries": RETRIES, "nodes": {node: {"retries": 1}}})
    spec = json_format.ParseDict(compile_config(config, KFP).spec, proto.PipelineSpec())
    assert spec.root.dag.tasks[node].retry_policy.max_retry_count == 1
