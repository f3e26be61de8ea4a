"""Graft in Python, for notebooks and programs: `from pipeline import api`. The one public module.

    checked = api.check("photos")
    result = api.run("photos", settings={"trainer.epochs": 5})
    answers = api.load("work/graft").predict(["a.jpg", array, picture])
    page = api.report("work/graft")

Each does what the command of the same name does. Importing it is instant; no function ends the process. Errors are
those of `components.errors`, whose text says what was expected, what was found and what to do; and
`pipeline.process.troubles.Trouble` where the machine is to blame (a full disk), or the run failed inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import InputError
from pipeline.results import CheckResult, Report, RunResult

if TYPE_CHECKING:
    from pipeline.predict.classifier import Classifier

Settings = Mapping[str, Any] | Sequence[str]


def check(
    data: str | Path, workdir: str | Path | None = None, settings: Settings | None = None, **options: Any
) -> CheckResult:
    """Looks at the data as a run would: counts, quarantine, duplicates, leakage. Changes nothing.

    Args:
        data: a folder, archive, manifest, TFRecords, `sample:digits`, or a configuration (`.yaml`).
        workdir: a working directory of earlier runs, whose images keep their side of the split.
        settings: options of any section, as in `run`.
        **options: options of `data:`, such as `layout="class_folders"`, `min_side=16`.

    Raises:
        InputError: an option is wrong, or there is nothing to look at.
    """
    import sys

    from pipeline.check import as_json, check_data
    from pipeline.config.configuration import load_config
    from pipeline.first_run.target import is_config
    from pipeline.process.progress import counting_lines

    lines = [*_lines(settings), *_lines({f"data.{key}": value for key, value in options.items()})]
    given = is_config(str(data))
    config = load_config(str(data) if given else None, lines, None if given else str(data))
    memory = Path(workdir) / "data.sqlite" if workdir else None
    with counting_lines("Checking", sys.stderr) as tell:
        found = check_data(config.data, memory, tell)
    return CheckResult(found.verdict, found.reasons, found.warnings, as_json(found))


def run(
    config_or_data: str | Path,
    workdir: str | Path | None = None,
    settings: Settings | None = None,
    *,
    data: str | Path | None = None,
    cache: bool = True,
    verify: bool = False,
    if_changed: bool = False,
    override: Sequence[str] = (),
    reason: str | None = None,
    say: Callable[[str], object] = print,
) -> RunResult:
    """Runs the whole pipeline: ingest, train, evaluate, check, push, as `graft run` does.

    The run has a process of its own, so signals, standard output, memory and devices of this one stay as they are; any
    thread may call this, for any number of working directories at once. An interrupt (Ctrl-C, the notebook's stop
    button) ends the run in order: its record is written, and the next run continues from what is complete.

    Args:
        config_or_data: a configuration (`.yaml`), or the data itself, a folder of images or `sample:digits`: then a
            start is chosen as `graft run` does, and said.
        workdir: the working directory; None: `work/<name>`.
        settings: options that win over the file, `{"trainer.epochs": 5}` or `["trainer.epochs=5"]`.
        data: the data; wins over `data.path` of a configuration.
        cache: whether nodes may reuse what an earlier run made.
        verify: read every file, also those that look unchanged since the last run.
        if_changed: end at once (`unchanged`) where the model that would come out is served already.
        override: gates (`data`, `quality`, `servability`) that may say no without stopping; needs `reason`.
        reason: why; kept in the passport.
        say: is called with each line of progress.

    Raises:
        InputError: configuration, data or working directory are not usable; also where another run uses the latter.
        Damaged: what an earlier node made is no longer what it made.
        Trouble: the run failed inside, or was killed.
        KeyboardInterrupt: it was interrupted.
    """
    from pipeline.config.overrides import make_override
    from pipeline.first_run.load import choose_workdir, load_target
    from pipeline.process.apart import run_apart
    from pipeline.runs.read import read_run

    overridden = make_override(list(override), reason)
    target, images = str(config_or_data), None if data is None else str(data)
    chosen = load_target(target, _lines(settings), images, may_fetch=True)  # first: its errors are instant
    place = (choose_workdir(chosen, f"graft run {target}") if workdir is None else Path(workdir)).resolve()
    for line in chosen.lines:
        say(line)
    options = {
        "enable_cache": cache,
        "verify": verify,
        "if_changed": if_changed,
        "override": asdict(overridden) if overridden else None,
        "command": f"api.run({target!r}, ...) in Python",
    }
    request = {"config": chosen.config.model_dump(mode="json"), "workdir": str(place), "options": options}
    answer = run_apart("pipeline.child", request, say)
    ended = read_run(place / "runs" / answer["run"])
    return RunResult(ended.run_id, place, ended.summary)


def load(path: str | Path, candidate: bool = False, run: str = "") -> Classifier:
    """Loads a model into this process: `load(path).predict(images)`.

    Args:
        path: `serving/<version>`, or a working or serving directory: its served version.
        candidate: of a working directory the newest trained model, though a gate refused it; `notice` says which.
        run: with `candidate`: of which run: its id, the beginning of it, `latest`, or a version's number.

    Raises:
        InputError: there is no such model, or it is not as it was made.
    """
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says otherwise which accelerators it lacks

    from components.registry.find import find_model
    from pipeline.predict.classifier import load_classifier
    from pipeline.runs.candidate import find_candidate

    if run and not candidate:
        raise InputError(f"run={run!r}: expected candidate=True with it, since it names a run's trained model.")
    if not candidate:
        return load_classifier(find_model(str(path)))
    found = find_candidate(path, run)
    return load_classifier(found.path, found.notice)


def report(workdir: str | Path, run: str = "latest") -> Report:
    """Writes a run's page again, as `graft report` does; a notebook shows the page inline.

    Args:
        workdir: the working directory.
        run: which run, as in `load`.

    Raises:
        InputError: there is no such run, or its summary cannot be read.
    """
    from pipeline.report.page import write_page
    from pipeline.runs.find import choose_run, find_workdir

    place = find_workdir(workdir)[0].resolve()
    return Report(write_page(choose_run(place, run).folder, place / "features"))


def _lines(settings: Settings | None) -> list[str]:
    """Settings as `--set` takes them: `a.b=VALUE`, the value in JSON, which is YAML, too."""
    import json

    if settings is None:
        return []
    if isinstance(settings, str):
        raise InputError(f"settings: expected a mapping or a list of 'a.b=VALUE', got the text {settings!r}.")
    if isinstance(settings, Mapping):
        return [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]
    return list(settings)
