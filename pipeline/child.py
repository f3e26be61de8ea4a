"""The process of a run that was started from Python: `pipeline.api` asks, this module runs and answers."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.contract.gates import Override
from components.errors import Damaged, InputError, first_line
from components.files.paths import write_atomically
from pipeline.process import scratch, signals
from pipeline.process.apart import ANSWER
from pipeline.process.troubles import find_trouble


def main() -> None:
    """Reads a request from standard input, runs it, and writes the answer to the file that the request names."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, name="graft-parent", daemon=True).start()
    with signals.heeded():
        try:
            with scratch.own_folder(), signals.interruptible("Interrupted."):
                answer = answer_request(request, run)
                write_atomically(request[ANSWER], json.dumps(answer))
        finally:
            if stop := signals.stopped():  # threads of libraries would go on, and child processes stay
                signals.leave(stop.code - 128)


def end_with_parent() -> None:
    """Waits until the parent closes standard input, by its death at the latest; then ends this process in order."""
    sys.stdin.read()  # the parent writes no more: it ends where the parent does
    os.kill(os.getpid(), signal.SIGTERM)


def answer_request(request: dict[str, Any], answer: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Gives an answer, or the error that came instead: `error`, the type's name, and `text`."""
    try:
        return answer(request)
    except Exception as error:
        if signals.stopped():
            raise
        if trouble := find_trouble(error):
            error = trouble
        elif not isinstance(error, (InputError, Damaged)):
            sys.excepthook(type(error), error, error.__traceback__)
            log = Path(request["workdir"], "runs", "latest", "log.txt")
            return {"error": "", "text": f"{type(error).__name__}: {first_line(error)}\n{log} has the details."}
        return {"error": type(error).__name__, "text": str(error)}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the pipeline as `graft run` does; gives the id of the run.

    Args:
        request: `config`, of all sections; `workdir`; `options`, of `RunOptions`, with `override` as an object.
    """
    from components.trainer.devices.tf_config import read_cluster
    from pipeline.config.configuration import validate
    from pipeline.run.planning import RunOptions
    from pipeline.run.run import run_pipeline

    if read_cluster().workers > 1:
        raise InputError("TF_CONFIG names several workers: start `graft run` on each of them, not `api.run`.")
    options = dict(request["options"])
    if given := options.pop("override"):
        options["override"] = Override(**{**given, "gates": tuple(given["gates"])})
    outcome = run_pipeline(validate(request["config"]), Path(request["workdir"]), RunOptions(**options))
    return {"run": outcome.path.parent.name}


if __name__ == "__main__":
    main()
