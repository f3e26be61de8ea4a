"""Runs the DAG on this machine: TFX's BeamDagRunner, whose nodes tell an observer how they go.

TFX has no public place where a run is told of its nodes, so three private names of it are used here, the same in TFX
1.16 and 1.21; `tests/pipeline/run/test_runners.py` fails where one of them changes:

- `BeamDagRunner._PIPELINE_NODE_DO_FN_CLS` and `PipelineNodeAsDoFn._run_node`, with the fields that it reads: begin, end
  and error of a node, and whether it was cached;
- `Launcher._run_executor`, which is called for nodes that are not cached only: the digests of inputs and outputs;
- `artifact_utils.verify_artifacts` (public, but replaced while a node is looked up): kept results with other bytes.

Clusters run the same DAG compiled: see `pipeline/kubeflow/services.py`. Where the Beam pipelines inside of nodes run,
here and there, `beam.runner` in the configuration says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tfx.orchestration import metadata
from tfx.orchestration.beam import beam_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.types import Artifact, artifact_utils

from components.contract.artifacts import check_contents, find_artifact_damage
from components.errors import GateRefused, InputError, first_line
from components.files.digests import CONTENT, digest_folder
from components.servable_check.probe_process import dismiss_probe, prepare_probe
from pipeline.beam import make_in_process_default
from pipeline.process.footprint import give_back_memory
from pipeline.run.notes import describe_outputs

log = logging.getLogger("graft.run")


class Observer(Protocol):
    """Is told when a node begins and ends."""

    def start(self, name: str) -> None:
        """Notes that a node begins."""

    def finish(self, name: str, how: str, summary: str = "") -> None:
        """Notes that a node ends: `done`, `cached`, `failed` or `refused`."""


@dataclass
class Trace:
    """What happened in one run.

    Attributes:
        observer: is told as it happens.
        executions: by node id.
        cached: the nodes whose earlier results were used.
        damaged: a line for each node whose earlier results were not used, since they are not as they were made.
        failed_node, error: the first error and where it happened.
    """

    observer: Observer
    executions: dict[str, int] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    failed_node: str = ""
    error: BaseException | None = None

    def launch(self, name: str, run: Callable[[], Any]) -> None:
        """Runs one node and writes down how it went."""
        self.observer.start(name)
        log.info("node %s begins", name)
        started = time.monotonic()
        try:
            with _only_intact_results(name, self.damaged):
                info = run()
        except BaseException as error:
            self.failed_node, self.error = name, error
            refused = isinstance(error, (GateRefused, InputError))
            self.observer.finish(name, "refused" if refused else "failed", _say_why(error))
            raise
        finally:
            give_back_memory()
        self.executions[name] = info.execution_id
        # The launcher gives no output location to an execution that it takes from the cache.
        if not info.execution_output_uri:
            self.cached.append(name)
            self.observer.finish(name, "cached")
        else:
            self.observer.finish(name, "done", describe_outputs(name, info.output_dict, time.monotonic() - started))


def _say_why(error: BaseException) -> str:
    """Gives a few words for the node's line; the whole error is printed at the end."""
    if isinstance(error, GateRefused):
        return f"the {error.gate} gate said no"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, InputError):
        return "the input is not usable"
    return first_line(error)


_trace: Trace | None = None


class ObservedNode(beam_dag_runner.PipelineNodeAsDoFn):
    """Runs a node of TFX as a Beam step, and tells the current trace."""

    def _run_node(self) -> None:
        if _trace is None:
            super()._run_node()
        else:
            _trace.launch(self._node_id, self._launch)

    def _launch(self) -> Any:
        return BoundLauncher(
            pipeline_node=self._pipeline_node,
            mlmd_connection=metadata.Metadata(self._mlmd_connection_config),
            pipeline_info=self._pipeline_info,
            pipeline_runtime_spec=self._pipeline_runtime_spec,
            executor_spec=self._executor_spec,
            platform_config=self._extract_platform_config(self._deployment_config, self._node_id),
            custom_driver_spec=self._custom_driver_spec,
        ).launch()


# What is begun beside a node that has work to do, as a later node needs it: the Trainer leaves a processor idle for
# most of its time, the Evaluator none. In paired runs ServableCheck took 1.1 s less than if begun after the Trainer.
BEGUN_BESIDE: dict[str, Callable[[], None]] = {"Trainer": prepare_probe}


class BoundLauncher(launcher.Launcher):
    """TFX's launcher; every node takes and leaves artifacts that are bound to their bytes."""

    def _run_executor(self, execution_info: Any) -> Any:
        """Runs a node that was not found in the cache.

        Raises:
            Damaged: an input is not as it was made.
        """
        check_contents(execution_info.input_dict)
        BEGUN_BESIDE.get(execution_info.pipeline_node.node_info.id, lambda: None)()
        output = super()._run_executor(execution_info)
        for made in output.output_artifacts.values():
            for artifact in made.artifacts:
                artifact.custom_properties[CONTENT].string_value = digest_folder(artifact.uri)
        return output


@contextmanager
def _only_intact_results(node: str, damaged: dict[str, str]) -> Iterator[None]:
    """Takes results of an earlier execution from the cache only where their bytes are as they were made.

    An execution whose artifacts are not as they were made is passed over, as if it had never been. What comes after it
    has other inputs then, and is made anew as well.

    Args:
        node: that is looked up in the cache.
        damaged: gets a line for the node.
    """
    are_there, bad = artifact_utils.verify_artifacts, dict[int, str]()

    def are_intact(artifacts: dict[str, list[Artifact]]) -> None:
        for key, artifact in ((key, artifact) for key, group in artifacts.items() for artifact in group):
            if artifact.id not in bad:  # each cached execution that used it has it again
                bad[artifact.id] = find_artifact_damage(artifact)
            if bad[artifact.id]:
                damaged[node] = f"{node}: its kept output {key} {bad[artifact.id]}: made again ({artifact.uri})"
                log.warning(damaged[node])
                raise RuntimeError(damaged[node])
        are_there(artifacts)

    artifact_utils.verify_artifacts = are_intact
    try:
        yield
    finally:
        artifact_utils.verify_artifacts = are_there


class ObservedBeamDagRunner(beam_dag_runner.BeamDagRunner):
    """Runs the DAG with observed nodes."""

    _PIPELINE_NODE_DO_FN_CLS = ObservedNode


def run_on_beam(pipeline: Pipeline, observer: Observer) -> Trace:
    """Runs the nodes on this machine, in this process; gives their trace."""
    global _trace
    _trace = trace = Trace(observer)
    try:
        make_in_process_default()
        ObservedBeamDagRunner().run(pipeline)
    except BaseException as error:  # noqa: BLE001  Beam wraps what a node raised; the caller gets the first error
        trace.error = trace.error or error
    finally:
        _trace = None
        dismiss_probe()
    return trace
