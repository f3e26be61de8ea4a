"""The record of an executed pipeline: the same folder, summary and words as after `graft run`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from rich.markup import escape

from components.contract.gates import DATA, QUALITY, SERVABILITY, lets_through
from components.errors import InputError
from components.files.paths import is_remote
from components.registry import versions
from pipeline.kubeflow.compile.checks import PLAN_NODE
from pipeline.kubeflow.compiled import CompiledPipeline, read_compiled
from pipeline.kubeflow.local.driver import DRIVERS, EXECUTOR_LOGS, resolve_arguments
from pipeline.kubeflow.local.execute import REFUSED, Walk, Walker, check_workdir, describe_failure, scratch_folder
from pipeline.kubeflow.local.launcher import Launcher
from pipeline.kubeflow.local.stores import Store, open_store
from pipeline.kubeflow.service import Service
from pipeline.kubeflow.task.plan_task import change_config
from pipeline.process.signals import closing
from pipeline.report.ending import COMPILE_AGAIN, describe_end
from pipeline.report.inputs import PAGE_OUTPUT, REPORT_NODE, note_inputs
from pipeline.report.summary import RunArtifacts, Summary, fill_summary
from pipeline.run.leftovers import tidy
from pipeline.run.run import Outcome, note_served, write_page_anyway
from pipeline.workdir import Workdir

# The summary needs none of their files.
LARGE = ("examples", "model", "baseline_model", "best_model", "transform_graph")
LOGS = "logs"  # in the run's folder, a file a task
REFUSALS = {DATA: "data_refused", QUALITY: "not_blessed", SERVABILITY: "not_servable"}


def execute_file(
    path: Path, root: str, service: Service, given: dict[str, str], jobs: int, console: Console
) -> Outcome:
    """Runs a compiled pipeline on this machine.

    Args:
        path: what `graft compile` wrote.
        root: folder or `s3://bucket/prefix` for all artifacts.
        service: whose ways are imitated.
        given: runtime parameters as text.
        jobs: how many tasks may run at once.
        console: for people.

    Raises:
        InputError: the file, a parameter or the root is not usable; nothing was run.
    """
    pipeline = read_compiled(path)
    values = pipeline.resolve_parameters(given)
    store = open_store(root)
    workdir = Workdir(check_workdir(values, given))
    values["workdir"] = str(workdir.root)
    if not is_remote(values["data_path"]) and not values["data_path"].startswith("sample:"):
        values["data_path"] = str(Path(values["data_path"]).resolve())
    workdir.create()
    with workdir.locked(), scratch_folder() as scratch:
        tidy(workdir)
        run = workdir.new_run()
        summary, walk, started = Summary(run.name), Walk(), time.monotonic()

        def write(error: BaseException | None = None) -> Path:
            if error is not None:
                summary.note_error(error, "")
            summary.cached = walk.cached
            summary.seconds = {**walk.seconds, "total": round(time.monotonic() - started, 3)}
            written = summary.write(run)
            _keep_logs(scratch, run, walk)
            return written

        with closing(write):
            pushed_before = versions.list_versions(workdir.serving)
            describe_start(console, path, pipeline.name, service.NAME, store, values)
            write_config(run / "config.yaml", pipeline, values)
            launcher = Launcher(store, DRIVERS[service.DRIVER], f"{store.root}/{pipeline.name}/{run.name}", scratch)
            walk = Walker(pipeline, launcher, store, values, console, jobs).walk()
            artifacts = collect_artifacts(walk, store, scratch / "shown")
            fill_summary(summary, artifacts, pushed_before)
            keep_page(run, artifacts, values["data_path"])
            _note_failure(summary, walk)
            summary.reasons += walk.damaged
            note_served(summary, workdir.serving)
            written = write()
            write_page_anyway(run, workdir)
        if walk.code not in (0, REFUSED):
            for name, result in walk.failed:
                console.print(*(escape(line) for line in describe_failure(name, result)), sep="\n", soft_wrap=True)
            console.print("The next `graft execute` continues from what is complete.")
            return Outcome(walk.code, summary, written)
        return Outcome(describe_end(console, summary, written, COMPILE_AGAIN), summary, written)


def describe_start(console: Console, path: Path, name: str, service: str, store: Store, values: dict[str, Any]) -> None:
    """Says what is about to be run, and that the image is not used."""
    console.print(f"[bold]{escape(name)}[/]: {escape(str(path))} as {service} would run it")
    console.print("  image    not pulled: the tasks' commands run in this environment")
    console.print(f"  root     {escape(store.root)}", soft_wrap=True)
    for key, value in sorted(values.items()):
        console.print(f"  {key:<8} {escape(str(value))}", soft_wrap=True)


def write_config(path: Path, pipeline: CompiledPipeline, values: dict[str, Any]) -> None:
    """Writes the configuration of a run, as `graft run` does: the compiled one with the run's parameters.

    Args:
        path: of the file.
        pipeline: the compiled one; of a file without the task `Plan` nothing is known.
        values: of the runtime parameters.
    """
    for plan in (task for task in pipeline.tasks if task.name == PLAN_NODE):
        arguments = resolve_arguments(list(plan.container.args), values)
        settings = [arguments[number + 1] for number, word in enumerate(arguments) if word == "--set"]
        settings += [f"data.path={values['data_path']}", f"kubeflow.workdir={values['workdir']}"]
        content = change_config(arguments[arguments.index("--config") + 1], settings)
        if content["kubeflow"]["data_path"]:
            content["kubeflow"]["data_path"] = values["data_path"]
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def collect_artifacts(walk: Walk, store: Store, folder: Path) -> RunArtifacts:
    """Copies the outputs of complete tasks to the local disk, but large ones; gives them as ML Metadata would."""
    found: RunArtifacts = {}
    for node, done in walk.done.items():
        found[node] = {}
        for name, content in done.artifacts.items():
            place = folder / node / name
            copied = name not in (*LARGE, EXECUTOR_LOGS)
            if copied:
                store.download(content["uri"], place)
            found[node][name] = _as_artifact(content, str(place) if copied else store.address(content["uri"]))
    return found


def keep_page(run: Path, artifacts: RunArtifacts, data_path: str) -> None:
    """Keeps what the task Report gathered beside the run, and notes where: the other artifacts stay in their store."""
    kept = dict[str, dict[str, str]]()
    if REPORT_NODE in artifacts:
        shutil.copytree(artifacts[REPORT_NODE][PAGE_OUTPUT].uri, run / PAGE_OUTPUT)
        kept[REPORT_NODE] = {PAGE_OUTPUT: str(run / PAGE_OUTPUT)}
    note_inputs(run, data_path=data_path, artifacts=kept)


def _as_artifact(content: dict[str, Any], place: str) -> metadata_store_pb2.Artifact:
    artifact = metadata_store_pb2.Artifact(uri=place)
    for key, value in content.get("metadata", {}).items():
        if isinstance(value, float | int):
            artifact.custom_properties[key].int_value = int(value)
        else:
            artifact.custom_properties[key].string_value = value if isinstance(value, str) else json.dumps(value)
    return artifact


def _note_failure(summary: Summary, walk: Walk) -> None:
    """Says why the run ended early, as `graft run` does."""
    if not walk.failed:
        return
    name, result = walk.failed[0]
    if result.code != REFUSED:
        summary.status = "failed"
        summary.reasons = [f"{name}: exit code {result.code}: {' '.join(result.last_lines(1))}"]
        return
    summary.gates = {**result.verdict, **summary.gates}
    stopping = {gate: verdict for gate, verdict in summary.gates.items() if not lets_through(verdict)}
    summary.status = next(status for gate, status in REFUSALS.items() if gate in stopping)
    summary.reasons = [reason for verdict in stopping.values() for reason in verdict["reasons"]]


def _keep_logs(scratch: Path, run: Path, walk: Walk) -> None:
    """Copies the tasks' logs from their scratch folder into the run's: all in one, and each by its name."""
    kept = run / LOGS
    kept.mkdir(exist_ok=True)
    with open(run / "log.txt", "wb") as file:
        for log in sorted(scratch.glob("*.log"), key=lambda path: path.stat().st_mtime_ns):
            file.write(f"=== {log.stem}\n".encode() + log.read_bytes())
            shutil.copyfile(log, kept / log.name)
    for _, result in walk.failed:
        result.log = kept / result.log.name


def parse_parameters(pairs: list[str]) -> dict[str, str]:
    """Reads `name=value` pairs of the command line.

    Raises:
        InputError: a pair without `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--param: expected name=value, got '{pair}'.\nExample: --param trainer_epochs=5")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
