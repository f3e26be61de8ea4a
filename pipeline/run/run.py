"""`graft run`: from a configuration to a pushed model and a summary."""

from __future__ import annotations

import importlib
import logging
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from components.contract.features import LEDGER_FILE
from components.contract.gates import DATA
from components.errors import Damaged, GateRefused, InputError
from components.example_gen.admission import describe_scan, refuse_data, write_ledger
from components.example_gen.history import open_history
from components.example_gen.scan import Scan, ScanSettings, scan_data
from components.process.machine import check_semaphores
from components.registry import verify, versions
from components.registry.card.fields import given_card
from components.registry.find import find_version_of, why_not_served, why_push_again
from components.sources.find import list_sources
from components.sources.listing import Listing
from pipeline import sample
from pipeline.beam import refuse_unseen_by_nodes
from pipeline.config.configuration import Config, Plan
from pipeline.fingerprint import begin_source_fingerprints
from pipeline.process.footprint import limit_arenas, loading
from pipeline.process.progress import Progress, output_to
from pipeline.process.signals import closing
from pipeline.report.ending import describe_end, describe_start, describe_unused_override
from pipeline.report.inputs import locate, note_inputs, read_inputs
from pipeline.report.summary import RunArtifacts, Summary, describe_version, fill_summary, find_artifacts
from pipeline.run.leftovers import check_metadata, remove_unfinished, tidy
from pipeline.run.planning import RunOptions, absolute, hash_weights, make_plan
from pipeline.run.trial import try_early
from pipeline.workdir import Workdir

if TYPE_CHECKING:
    from pipeline.run.runners import Trace

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the exit code, the summary and where it was written."""

    code: int
    summary: Summary
    path: Path


def run_pipeline(config: Config, root: Path, options: RunOptions) -> Outcome:
    """Runs everything on this machine.

    Args:
        config: checked.
        root: the working directory.
        options: of the command line.

    Raises:
        InputError: the data or the working directory is not usable; nothing was run.
    """
    workdir = Workdir(root.resolve())
    data = config.data.path
    if data is None:
        raise InputError("data.path: no data folder is given.\nAdd --data DIR, or data.path to the configuration.")
    listing = None if sample.is_sample(data) else list_sources(data, config.data)
    check_semaphores()
    paths = {"--workdir": str(workdir.root), "data.path": listing.root if listing else ""}
    refuse_unseen_by_nodes(config.beam, paths, config.trainer.feature_pass)
    workdir.create()
    with workdir.locked():
        check_metadata(workdir.metadata)
        tidy(workdir)
        if listing is None:
            listing = list_sources(str(sample.write_sample(data, workdir.root / "sample")), config.data)
        run = workdir.new_run()
        (run / "config.yaml").write_text(config.to_yaml(), "utf-8")
        summary = Summary(run.name, command=options.command)
        with output_to(run / "log.txt", options.detail == "verbose") as console:
            progress = Progress(console, options.detail == "quiet")
            with closing(lambda error: _write_end(summary, progress, workdir, run, error)):
                if not progress.quiet:
                    describe_start(console, config, listing.root, workdir.root, listing.notes)
                with progress.shown():
                    _scan_and_run(config, listing, workdir, options, (run, summary, progress))
                path = _write_summary(summary, progress, run)
                write_page_anyway(run, workdir)
            code = describe_end(console, summary, path)
            describe_unused_override(console, options.override, summary)
    return Outcome(code, summary, path)


def _scan_and_run(
    config: Config, listing: Listing, workdir: Workdir, options: RunOptions, records: tuple[Path, Summary, Progress]
) -> None:
    """Looks at the data, and goes on with the DAG unless the data is refused or nothing changed."""
    run, summary, progress = records
    kept = workdir.root / "features"
    find_sources = begin_source_fingerprints()
    try_early(config, kept, hash_weights(config.trainer), partial(load_ahead, config), sources=find_sources)
    try:
        scan = look_at_data(config, listing, workdir, options.verify, progress)
        summary.dataset = scan.dataset
        write_ledger(run / LEDGER_FILE, scan)
        note_inputs(run, data_path=absolute(scan.listing.root))
        check_expected(scan, options.expected_data)
        refuse_data(scan, config.data, options.override is not None and DATA in options.override.gates)
    except GateRefused as error:
        _note_refusal(summary, error)
        progress.finish("Data", "refused", f"the {error.gate} gate said no")
        return
    except InputError:
        progress.finish("Data", "refused", "the input is not usable")
        raise
    progress.finish("Data", "done", describe_scan(scan, progress.elapsed()))
    if not options.if_changed:  # a run that may end here needs no TensorFlow
        progress.start("Start-up")
        load_ahead(config)
    plan = make_plan(config, workdir, scan, options, find_sources())
    held = find_version_of(workdir.serving, plan.model_key)
    if options.if_changed and held is not None and needs_no_push(plan, held):
        summary.status, summary.model = "unchanged", describe_version(workdir.serving / str(held))
    else:
        _execute(plan, (run, summary, progress), workdir)
    note_served(summary, workdir.serving)


def needs_no_push(plan: Plan, held: int) -> bool:
    """Whether the version that holds the model of a plan is whole and, where it is served, has the plan's card."""
    if verify.find_damage(plan.serving_dir, held):
        return False
    has_card = given_card(versions.read_passport(plan.serving_dir / str(held))) == given_card(plan.passport)
    return has_card or held != versions.served_version(plan.serving_dir)


def check_expected(scan: Scan, expected: str) -> None:
    """Refuses data that is not the one that was asked for.

    Raises:
        InputError: its fingerprint is another one.
    """
    found = scan.dataset["fingerprint"]
    if expected and found != expected:
        raise InputError(
            f"data.path: expected data with the fingerprint {expected[:12]} (names, classes and content of every "
            f"file, and corrections), found {found[:12]} in {scan.listing.root}.\n"
            "Give the data as it was then: --data PATH (and --corrections FILE)."
        )


def note_served(summary: Summary, serving: Path) -> None:
    """Says what is served after the run; and why, where that is not the version that holds the run's model."""
    summary.served = versions.served_version(serving)
    if summary.model and summary.model["version"] != summary.served:
        summary.reasons.append(why_not_served(serving, summary.model["version"]))


def _note_refusal(summary: Summary, error: GateRefused) -> None:
    summary.status, summary.reasons = "data_refused", error.reasons
    summary.gates[error.gate] = error.verdict


def look_at_data(config: Config, listing: Listing, workdir: Workdir, verify: bool, progress: Progress) -> Scan:
    """Scans the data with the memory of earlier runs."""
    progress.start("Data")
    with open_history(str(workdir.memory)) as memory:
        looking = ScanSettings(_report, lambda: prepare(config), verify, lambda: load_ahead(config))
        return scan_data(listing, config.data, memory, looking)


def prepare(config: Config) -> None:
    """Loads TensorFlow with the devices of the configuration: they can only be made before it is first used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from components.trainer.devices.strategy import prepare_process

    prepare_process(config.trainer.devices)


def load_ahead(config: Config) -> None:
    """Loads what the run needs after the data: most of a start-up, while other processes read files."""
    limit_arenas()
    with loading():
        prepare(config)
        importlib.import_module("pipeline.dag")
        importlib.import_module("pipeline.run.runners")


def _report(done: int, total: int) -> None:
    logging.getLogger("graft.progress").info(f"{done:,} of {total:,} files", extra={"counts": (done, total)})


def _execute(plan: Plan, records: tuple[Path, Summary, Progress], workdir: Workdir) -> None:
    run, summary, progress = records
    if progress.doing != "Start-up":
        progress.start("Start-up")
        load_ahead(plan.config)
    kept = workdir.root / "features"
    try_early(plan.config, kept, plan.weights_sha256, lambda: None, files=True, sources=lambda: plan.sources)
    from pipeline.dag import create_pipeline
    from pipeline.run.runners import run_on_beam

    pipeline = create_pipeline(plan)
    progress.finish("Start-up", "done", f"TFX {plan.libraries['tfx']}, TensorFlow {plan.libraries['tensorflow']}")
    summary.seconds["startup"] = round(time.time() - psutil.Process().create_time(), 3)
    pushed_before = versions.list_versions(workdir.serving)
    remove_unfinished(workdir)
    trace = run_on_beam(pipeline, progress)
    damaged = trace.damaged
    artifacts = _find_what_is_there(workdir, trace)
    pushed = artifacts["Pusher"]["pushed_model"] if trace.error is None and "Pusher" in trace.cached else None
    again = why_push_again(pushed, workdir.serving) if pushed else ""
    if again:
        log.warning("%s: the Pusher runs again", again)
        trace = run_on_beam(create_pipeline(replace(plan, push_again=summary.run_id)), progress)
        artifacts = find_artifacts(workdir.metadata, trace.executions)
    summary.cached = trace.cached
    if not isinstance(trace.error, Damaged):  # what it would be filled from is not to be trusted
        fill_summary(summary, artifacts, pushed_before)
        note_inputs(run, passport=plan.passport, artifacts=locate(artifacts))
    if again and summary.model and summary.status == "pushed":
        summary.reasons.append(f"{again}: its model was pushed again as version {summary.model['version']}")
    if isinstance(trace.error, GateRefused):
        _note_refusal(summary, trace.error)
    elif trace.error is not None:
        summary.note_error(trace.error, trace.failed_node or "the run")
    summary.reasons += (damaged | trace.damaged).values()
    if trace.error is not None and not isinstance(trace.error, GateRefused):
        raise trace.error


def _find_what_is_there(workdir: Workdir, trace: Trace) -> RunArtifacts:
    """The outputs of a run's nodes; after an error as far as the metadata can be read, since the error says more."""
    try:
        return find_artifacts(workdir.metadata, trace.executions)
    except Exception:
        if trace.error is None:
            raise
        log.exception("the metadata cannot be read")
        return {}


def _write_end(summary: Summary, progress: Progress, workdir: Workdir, run: Path, error: BaseException | None) -> Path:
    """Writes the record and the page of a run that an error or a signal ended."""
    path = _write_summary(summary, progress, run, error)
    write_page_anyway(run, workdir, at_once=True)
    return path


def write_page_anyway(run: Path, workdir: Workdir, at_once: bool = False) -> None:
    """Writes the page of a run that has looked at its data; an error is in the log: the run is what counts.

    Args:
        run: its folder.
        workdir: the working directory.
        at_once: whether someone waits for the process to end: nothing is gathered from artifacts.
    """
    if not read_inputs(run):
        return
    from pipeline.report.page import write_page  # Jinja and Arrow load in half a second

    try:
        write_page(run, workdir.root / "features", at_once)
    except Exception:
        log.exception("report.html cannot be written")


def _write_summary(summary: Summary, progress: Progress, run: Path, error: BaseException | None = None) -> Path:
    """Writes the record of a run, which ended by an error, or in its own way."""
    if error is not None:
        summary.note_error(error, progress.doing)
    summary.seconds |= {name: value for name, value in progress.seconds.items() if name != "Start-up"}
    summary.seconds["total"] = round(time.time() - psutil.Process().create_time(), 3)
    return summary.write(run)
