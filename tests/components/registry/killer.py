"""Kills pushes at random moments, and looks after each kill at what a server would see. Run as a process of its own.

    python -m tests.components.registry.killer SERVING MODEL KILLS

It forks without TensorFlow loaded, so that a push takes milliseconds. Prints a JSON object: how many of the killed
pushes ended before the kill, how many complete versions there are, and everything that was wrong.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from components.errors import InputError
from components.registry import pointer, versions
from components.registry.publish import publish_model
from components.registry.verify import verify_version
from tests.components.registry.models import PASSPORT


def push(model, serving, key):
    publish_model(model, serving, {**PASSPORT, "model_key": key})


def fork_push(model, serving, key):
    child = os.fork()
    if child == 0:
        push(model, serving, key)
        os._exit(0)
    return child


def what_is_wrong(serving):
    """Everything that a server would load must be complete and clean, and the pointer must name such a version."""
    wrong = []
    for number in versions.list_numbers(serving):
        report = verify_version(serving, number)
        if not report.clean:
            wrong.append(f"version {number}: {report}")
    try:
        versions.served_version(serving)
    except InputError as error:
        wrong.append(str(error))
    return wrong


def main(serving, model, kills):
    serving = Path(serving)
    push(model, serving, "first")  # loads what a push imports
    began = time.monotonic()
    push(model, serving, "second")
    usual = time.monotonic() - began
    chance, wrong, ended = random.Random(5), [], 0
    for number in range(kills):
        child = fork_push(model, serving, f"k{number}")
        time.sleep(chance.uniform(0, usual * 1.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        ended += os.WIFEXITED(status)
        usual *= 0.9 if os.WIFEXITED(status) else 1.1  # other work on the machine changes how long a push takes
        wrong += what_is_wrong(serving)
    half = len(list(serving.glob(".partial-*")))
    push(model, serving, "last")
    leftovers = [path.name for path in serving.glob(".partial-*")]
    complete = versions.list_versions(serving)
    last = versions.read_passport(serving / str(versions.served_version(serving)))["model_key"]
    history = len(pointer.read_pointer(serving).history)
    print(
        json.dumps(
            {
                "ended": ended,
                "half": half,
                "complete": len(complete),
                "history": history,
                "last": last,
                "leftovers": leftovers,
                "wrong": wrong,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
