"""The candidate of a run: the model that the run trained, pushed or not, as long as its files are as they were made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contract.gates import DATA, QUALITY, SERVABILITY
from components.errors import InputError, first_line
from components.files.digests import CONTENT, digest_folder
from components.files.paths import is_remote
from components.registry.versions import SAVED_MODEL_FILE
from pipeline.report.summary import describe_candidate, find_artifacts, open_metadata
from pipeline.runs.find import choose_run, find_workdir
from pipeline.runs.read import PUSHED, Run, list_ids, read_runs
from pipeline.workdir import Workdir

TRAINER = ".Trainer"  # the end of its type's name in ML Metadata
COMPLETE, CACHED = 3, 5  # states of an execution there
TFX_RUN = "pipeline_run"  # type of the context of a run there; its name is like 20261128-194441.716491
TIME = len("20261128-194441")
GATE_OF = {"data_refused": DATA, "not_blessed": QUALITY, "not_servable": SERVABILITY}
SHOWN = 3  # runs without a candidate that an error names
ENDED_EARLY = ("failed", "interrupted", "running", "unknown")


@dataclass(frozen=True)
class Candidate:
    """A model that a run trained.

    Attributes:
        run: that trained it.
        path: the SavedModel's folder.
        content_sha256: digest of the Trainer's artifact, which is the folder above.
        skipped: newer runs, and why each has no candidate, a line each.
    """

    run: Run
    path: Path
    content_sha256: str
    skipped: tuple[str, ...] = ()

    @property
    def pushed(self) -> bool:
        """Whether the run ended with a version that holds the model."""
        return self.run.status in PUSHED and self.run.version is not None

    @property
    def standing(self) -> str:
        """Why the model was not pushed, by which gate; or as which version it was pushed."""
        return describe_standing(self.run)

    @property
    def notice(self) -> str:
        """What is to be said wherever the model answers, in one line."""
        return f"candidate of run {self.run.run_id}: {self.standing}"


def describe_standing(run: Run) -> str:
    """Says in words whether a run's model was pushed: as which version; or why not, with the first reason."""
    if run.status in PUSHED and run.version is not None:
        return f"pushed as version {run.version}"
    gates = run.refusing_gates or [GATE_OF[status] for status in (run.status,) if status in GATE_OF]
    if gates:
        who = f"the {' and the '.join(gates)} gate{'s' * (len(gates) > 1)} refused it"
    else:
        who = {"running": "its run is still under way"}.get(run.status, f"its run ended as {run.status}")
    return f"not pushed, {who}" + (f" ({run.reasons[0]})" if run.reasons else "")


def find_candidate(workdir: str | Path, run: str = "") -> Candidate:
    """Finds the newest trained model whose files are still there and as they were made, pushed or not.

    Args:
        workdir: the working directory.
        run: of which run, as `choose_run` takes it; empty: the newest that has one.

    Raises:
        InputError: there is none; says of the newest runs why.
    """
    place = find_workdir(workdir)[0]
    rows = [choose_run(place, run)] if run else read_runs(place)
    skipped = list[str]()
    for row in rows:
        found, problem = _look_at(row)
        if found:
            return Candidate(row, found[0], found[1], tuple(skipped))
        skipped.append(f"{row.run_id}: {problem}")
    if not rows:
        raise InputError(f"{place} has no runs yet.\nMake one: graft run CONFIG --workdir {place}")
    more = f"\n  and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
    raise InputError(
        f"Expected a trained model of {f'run {rows[0].run_id}' if run else f'a run of {place}'}, found none:\n  "
        + "\n  ".join(skipped[:SHOWN])
        + f"{more}\nRun again with the same configuration: what is gone or damaged is made again."
    )


def _look_at(run: Run) -> tuple[tuple[Path, str] | None, str]:
    """The candidate's SavedModel and its digest, or why there is none."""
    try:
        described = _described(run)
    except Exception as error:  # noqa: BLE001  ML Metadata has errors of its own; none of them concerns another run
        return None, f"ML Metadata cannot be asked: {first_line(error)}"
    if described is None:
        return None, f"it trained no model ({run.status})"
    path, expected = described["path"], described[CONTENT]
    if is_remote(path):
        return None, f"its model lies in an object store: copy {path} here and give its folder instead"
    folder = _moved_with(run.workdir, path)
    if not (folder / SAVED_MODEL_FILE).is_file():
        return None, f"its model is gone: {folder}"
    try:
        found = digest_folder(str(folder.parent))
    except OSError as error:
        return None, f"its model cannot be read: {first_line(error)}"
    if found != expected:
        return None, f"its model is not as it was made: {folder} (sha256 {found[:12]}, expected {expected[:12] or '?'})"
    return (folder, expected), ""


def _described(run: Run) -> dict[str, str] | None:
    """What the summary says of the candidate; ML Metadata is asked where the summary is older, or was cut short."""
    said = run.get("candidate")
    if isinstance(said, dict) and isinstance(said.get("path"), str) and isinstance(said.get(CONTENT), str):
        return said
    asked = "candidate" not in run.summary or run.status in ENDED_EARLY
    return _recorded(run) if asked else None


def _moved_with(workdir: Path, path: str) -> Path:
    """A path of an artifact in the working directory as it lies now: it may have been moved or copied since."""
    head, _, below = path.rpartition("/artifacts/")
    own = workdir / "artifacts" / below
    return own if head and own.is_dir() else Path(path)


def _recorded(run: Run) -> dict[str, str] | None:
    """What ML Metadata says of the run's Trainer; None: it did not come so far, or nothing is recorded."""
    metadata = Workdir(run.workdir).metadata
    if not metadata.is_file():
        return None
    execution = _find_training(metadata, run)
    trained = find_artifacts(metadata, {"Trainer": execution})["Trainer"].get("model") if execution else None
    return describe_candidate(trained) if trained is not None else None


def _find_training(metadata: Path, run: Run) -> int | None:
    """The complete execution of the Trainer in a run: TFX names its runs by their local time, as Graft does."""
    store = open_metadata(metadata)
    trainers = {kind.id for kind in store.get_execution_types() if kind.name.endswith(TRAINER)}
    begin = run.run_id[:TIME]
    end = min((name[:TIME] for name in list_ids(run.workdir) if name > run.run_id), default="9")
    contexts = [row for row in store.get_contexts_by_type(TFX_RUN) if begin <= row.name[:TIME] < end]
    executions = [execution for row in contexts for execution in store.get_executions_by_context(row.id)]
    found = [e.id for e in executions if e.type_id in trainers and e.last_known_state in (COMPLETE, CACHED)]
    return max(found, default=None)
