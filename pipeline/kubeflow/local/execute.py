"""`graft execute`: walks a compiled pipeline and runs each task's own command, as a cluster would, on this machine.

Tasks know of one another only what lies in the pipeline root. What is complete is reused as Kubeflow reuses it: by the
task's image, command, parameters and input artifacts, where the compiled file allows it; after a failed run also the
tasks that are not cached otherwise, but never those that look at the data anew.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from rich.console import Console
from rich.markup import escape

from components.errors import InputError
from components.files.digests import CONTENT
from pipeline.kubeflow.compiled import CompiledPipeline, Task
from pipeline.kubeflow.local.launcher import Launcher, Result, TaskInputs
from pipeline.kubeflow.local.stores import Store
from pipeline.process.progress import MARKS

LAST_LINES = 20
REFUSED, UNUSABLE = 3, 2  # exit codes of a task: a gate said no, the input is not usable


@dataclass
class TaskResult:
    """What a complete task left, as it is kept in the pipeline root."""

    artifacts: dict[str, Any]
    parameters: dict[str, Any]
    closing: str = ""
    kept: list[str] = field(default_factory=list)  # URIs of the artifacts that have files


@dataclass
class Walk:
    """How far a run has come.

    Attributes:
        done: complete tasks by name.
        cached: names of those that were not run.
        seconds: of each task that was run.
        damaged: a line for each task whose earlier results were not used, since they are not as they were made.
        failed: name and result of each task that failed.
    """

    done: dict[str, TaskResult] = field(default_factory=dict)
    cached: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    failed: list[tuple[str, Result]] = field(default_factory=list)

    @property
    def code(self) -> int:
        """Gives the exit code of the run: that of the first task that failed, 1 for any code of no meaning here."""
        if not self.failed:
            return 0
        code = self.failed[0][1].code
        return code if code in (REFUSED, UNUSABLE) else 1


@dataclass
class Walker:
    """Runs the tasks of one pipeline, each when those before it are complete.

    Attributes:
        pipeline: the compiled file.
        launcher: runs one task.
        store: the pipeline root, where results are kept for later runs.
        values: of the runtime parameters.
        console: gets a line a task.
        jobs: how many tasks may run at once.
    """

    pipeline: CompiledPipeline
    launcher: Launcher
    store: Store
    values: dict[str, Any]
    console: Console
    jobs: int = 1

    @property
    def _folder(self) -> str:
        return f"{self.store.root}/{self.pipeline.name}/tasks"

    def walk(self) -> Walk:
        """Runs everything; after a failure nothing new is started."""
        walk, waiting = Walk(), {task.name: task for task in self.pipeline.tasks}
        unfinished = set(json.loads(self.store.read(f"{self._folder}/unfinished.json") or "[]"))
        keys: dict[str, str] = {}
        running: dict[Future[Result], tuple[Task, float]] = {}
        with ThreadPoolExecutor(self.jobs) as pool, self._stopping_on_interrupt():
            while waiting or running:
                for task in list(waiting.values()) if not walk.failed else []:
                    if not task.upstream <= walk.done.keys() or len(running) >= self.jobs:
                        continue
                    del waiting[task.name]
                    inputs = self._inputs(task, walk)
                    keys[task.name] = cache_key(task, inputs)
                    known = self._recall(task, keys[task.name], unfinished, walk)
                    if known:
                        walk.done[task.name] = known
                        walk.cached.append(task.name)
                        self._say(task.name, "cached", 0.0, "")
                    else:
                        running[pool.submit(self.launcher.run, task, inputs)] = (task, time.monotonic())
                if not running:
                    if walk.failed or not any(task.upstream <= walk.done.keys() for task in waiting.values()):
                        break
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task, started = running.pop(future)
                    self._take(walk, task, keys[task.name], future.result(), time.monotonic() - started)
        complete = [keys[name] for name in walk.done] if walk.failed else []
        self.store.write(f"{self._folder}/unfinished.json", json.dumps(complete))
        return walk

    def _take(self, walk: Walk, task: Task, key: str, result: Result, seconds: float) -> None:
        walk.seconds[task.name] = round(seconds, 3)
        if result.code:
            walk.failed.append((task.name, result))
            word = "refused" if result.code in (REFUSED, UNUSABLE) else "failed"
            said = {REFUSED: "a gate said no", UNUSABLE: "the input is not usable"}
            self._say(task.name, word, seconds, said.get(result.code, f"exit code {result.code}"))
            return
        walk.done[task.name] = done = TaskResult(result.artifacts, result.parameters, result.closing, result.kept)
        self.store.write(f"{self._folder}/{key}.json", json.dumps(done.__dict__))
        self._say(task.name, "done", seconds, result.closing)

    def _inputs(self, task: Task, walk: Walk) -> TaskInputs:
        """Collects the inputs of a task: constants, runtime parameters, and what the tasks before it left."""
        inputs = TaskInputs()
        for name, source in task.task.inputs.parameters.items():
            kind = source.WhichOneof("kind")
            if kind == "component_input_parameter":
                inputs.parameters[name] = self.values[source.component_input_parameter]
            elif kind == "task_output_parameter":
                output = source.task_output_parameter
                inputs.parameters[name] = walk.done[output.producer_task].parameters[output.output_parameter_key]
            else:
                inputs.parameters[name] = json_format.MessageToDict(source.runtime_value.constant)
        for name, source in task.task.inputs.artifacts.items():
            output = source.task_output_artifact
            inputs.artifacts[name] = walk.done[output.producer_task].artifacts[output.output_artifact_key]
        return inputs

    def _recall(self, task: Task, key: str, unfinished: set[str], walk: Walk) -> TaskResult | None:
        """Finds what an earlier run left of the very same task, if it may be used and is still as it was made."""
        if task.looks_outside or not (task.task.caching_options.enable_cache or key in unfinished):
            return None
        text = self.store.read(f"{self._folder}/{key}.json")
        done = TaskResult(**json.loads(text)) if text else None
        if not done or not all(self.store.exists(uri) for uri in done.kept):
            return None
        damage = self._find_damage(task.name, done)
        walk.damaged += [damage] if damage else []
        return None if damage else done

    def _find_damage(self, task: str, done: TaskResult) -> str:
        """Describes an artifact that is not as its task made it; empty: none. Artifacts of the UI have no digest."""
        for name, artifact in done.artifacts.items():
            expected = artifact.get("metadata", {}).get(CONTENT, "")
            if expected and self.store.digest(artifact["uri"]) != expected:
                return f"{task}: its kept output {name} is not as it was made: made again ({artifact['uri']})"
        return ""

    @contextmanager
    def _stopping_on_interrupt(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.launcher.stop()
            raise

    def _say(self, name: str, how: str, seconds: float, text: str) -> None:
        mark, style = MARKS[how]
        took = " cached   " if how == "cached" else f" {seconds:5.1f} s  "
        self.console.print(f"[{style}]{mark}[/] {name:<17}{took}{escape(text)}", soft_wrap=True)


def cache_key(task: Task, inputs: TaskInputs) -> str:
    """Digests what makes two executions the same to Kubeflow: image, command, parameters, artifacts, outputs."""
    content = {
        "task": task.name,
        "container": json_format.MessageToDict(task.container),
        "parameters": inputs.parameters,
        "artifacts": {name: artifact["uri"] for name, artifact in inputs.artifacts.items()},
        "outputs": json_format.MessageToDict(task.component.output_definitions),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe_failure(name: str, result: Result) -> list[str]:
    """Describes a failed task for people: its name, its command, the end of its log."""
    shown = [part if len(part) <= 80 else f"{part[:60]}... ({len(part):,} characters)" for part in result.command]
    return [
        f"Task {name} failed with exit code {result.code}.",
        f"  command  {' '.join(shown)}",
        f"  log      {result.log}, which ends with:",
        *(f"    {line}" for line in result.last_lines(LAST_LINES)),
    ]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Makes a local folder for the tasks' disks."""
    with tempfile.TemporaryDirectory(prefix="graft-execute-") as folder:
        yield Path(folder)


def check_workdir(values: dict[str, Any], given: dict[str, str]) -> Path:
    """Finds this run's working directory on this machine.

    Raises:
        InputError: the volume of the compiled file is not mounted here, or the file is not of `graft compile`.
    """
    if not {"workdir", "data_path"} <= values.keys():
        raise InputError(
            "FILE.yaml: expected the parameters workdir and data_path; only graft compile's files are run."
        )
    workdir = Path(values["workdir"])
    if "workdir" not in given and not workdir.is_dir():
        raise InputError(
            f"--param workdir: the compiled file expects a volume at {workdir}, and there is none on this machine.\n"
            "Say where models are pushed to: --param workdir=DIR."
        )
    return workdir.resolve()
