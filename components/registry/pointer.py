"""Which version of a serving directory is served: `models.config`, the file that TensorFlow Serving polls.

It is a `ModelServerConfig` in text form with a `specific` version policy, so that TensorFlow Serving loads the one
version that it names, before it drops the one that it named before. Comments hold what was served before, so that both
change in one rename. `docs/serving.md` has the server's side. Source:
https://www.tensorflow.org/tfx/serving/serving_config
"""

from __future__ import annotations

import fcntl
import getpass
import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from components.errors import InputError, first_line

POINTER_FILE = "models.config"
LOCK_FILE = ".push.lock"
EVENTS_KEPT = 1000  # events that a pointer remembers
HEADER = (
    "# What TensorFlow Serving serves. Written by Graft: `graft models promote` and `graft models rollback` change it."
)
EVENT = "# event "
progress = logging.getLogger("graft.progress")


@dataclass(frozen=True)
class Event:
    """One change of a serving directory.

    Attributes:
        version: that was pushed, promoted or rolled back to, and is served since; or that was pruned.
        by: what happened.
        at: UTC, `2026-01-31T12:00:00Z`; empty where it is not known.
        who: user and machine.
        passport_sha256: of the version's passport, at a push.
    """

    version: int
    by: Literal["push", "promote", "rollback", "prune"]
    at: str = ""
    who: str = ""
    passport_sha256: str = ""


@dataclass(frozen=True)
class Pointer:
    """The content of `models.config`.

    Attributes:
        version: the one that is served; None where the file names none, so that the highest is served.
        history: events, the oldest first.
    """

    version: int | None
    history: tuple[Event, ...] = ()

    @property
    def stack(self) -> list[int]:
        """Versions that rollbacks go back through: the served one last, before it the one served before, and so on."""
        return _replay(self)[0]

    @property
    def set_aside(self) -> dict[int, Event]:
        """Versions that somebody took back, by a rollback or by promoting an older one, and by which event."""
        return _replay(self)[1]


def _replay(pointer: Pointer) -> tuple[list[int], dict[int, Event]]:
    stack, aside = list[int](), dict[int, Event]()
    for event in pointer.history:
        if event.by == "prune":
            stack = [version for version, _ in groupby(version for version in stack if version != event.version)]
            continue
        taken_back = []
        if event.by == "rollback" and event.version in stack:
            while stack[-1] != event.version:
                taken_back.append(stack.pop())
        elif event.by == "promote" and stack and stack[-1] > event.version:
            taken_back.append(stack[-1])
        aside |= dict.fromkeys(taken_back, event)
        aside.pop(event.version, None)
        _put_last(stack, event.version)
    if pointer.version is not None:  # another one than Graft wrote: edited by hand
        _put_last(stack, pointer.version)
    return stack, aside


def _put_last(stack: list[int], version: int) -> None:
    if not stack or stack[-1] != version:
        stack.append(version)


def read_pointer(serving: Path) -> Pointer | None:
    """Reads the pointer of a serving directory; None where there is no pointer.

    Raises:
        InputError: the file is no `ModelServerConfig` of one model.
    """
    path = serving / POINTER_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _not_usable(path, first_line(error)) from error
    return Pointer(_served_of(_parse(path, text).model_config_list.config[0]), _read_history(path, text))


def record(serving: Path, event: Event, name: str, before: tuple[Event, ...] = ()) -> None:
    """Writes an event into the pointer, and what is served since; whole or not at all. The caller holds the lock.

    Name and base path of an existing pointer are kept, so that a server may see the folder under another path.

    Args:
        serving: the serving directory.
        event: what happened; a `prune` changes nothing of what is served.
        name: of the model, for requests; used where there is no pointer yet.
        before: the history of a directory that has no pointer yet.

    Raises:
        InputError: the existing pointer is not usable.
        OSError: it could not be written; the old one is as it was.
    """
    path = serving / POINTER_FILE
    text = path.read_text("utf-8") if path.exists() else None
    config = _parse(path, text) if text is not None else _new_config(name)
    history = _read_history(path, text) if text is not None else before
    if event.by != "prune":
        config.model_config_list.config[0].model_version_policy.specific.versions[:] = [event.version]
    write_synced(path, _to_text(config, (*history, event)[-EVENTS_KEPT:]))


def replace_pointer(serving: Path, event: Event, name: str, before: tuple[Event, ...]) -> None:
    """Writes a new pointer over one that is not usable; its history is lost, and is that of `before`."""
    config = _new_config(name)
    config.model_config_list.config[0].model_version_policy.specific.versions[:] = [event.version]
    write_synced(serving / POINTER_FILE, _to_text(config, (*before, event)))


def make_event(version: int, by: Literal["push", "promote", "rollback", "prune"], passport_sha256: str = "") -> Event:
    """Makes an event with the present time and the user of this process."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Event(version, by, at, name_user(), passport_sha256)


def name_user() -> str:
    """Names the user and the machine of this process: `ann@lab`."""
    return f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user has no name
        return str(os.getuid())


def _parse(path: Path, text: str) -> Any:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise _not_usable(path, first_line(error)) from error
    if (count := len(config.model_config_list.config)) != 1:
        raise _not_usable(path, f"{count} models")
    return config


def _not_usable(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: expected a model server configuration of one model, as Graft writes it; found: {found}.\n"
        f"{way_out(path.parent, 'Choose what is to be served, which writes it anew')}"
    )


def way_out(serving: Path, advice: str) -> str:
    """Says how to mend a pointer that is not usable: promote a version; where there is none, begin anew."""
    lines = [f"{advice}: graft models promote {serving} VERSION"]
    if not any(serving.glob("[0-9]*/saved_model.pb")):
        lines.append(f"No version is left there; to begin anew without its history: rm '{serving / POINTER_FILE}'")
    return "\n".join(lines)


def _served_of(config: Any) -> int | None:
    """The highest of the named versions, which answers requests that name none."""
    return max(config.model_version_policy.specific.versions, default=None)


def _new_config(name: str) -> Any:
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=f"/models/{name}", model_platform="tensorflow")
    return config


def _read_history(path: Path, text: str) -> tuple[Event, ...]:
    lines = [line.removeprefix(EVENT) for line in text.splitlines() if line.startswith(EVENT)]
    try:
        return tuple(Event(**json.loads(line)) for line in lines)
    except (TypeError, ValueError) as error:
        raise _not_usable(path, f"a damaged line '{EVENT.strip()}': {first_line(error)}") from error


def _to_text(config: Any, history: tuple[Event, ...]) -> str:
    from google.protobuf import text_format

    rows = [EVENT + json.dumps({k: v for k, v in asdict(event).items() if v != ""}) for event in history]
    return "\n".join([HEADER, *rows, text_format.MessageToString(config)])


@contextmanager
def locked(serving: Path) -> Iterator[None]:
    """Holds the lock of a serving directory: one change at a time; the system frees it when its holder dies.

    On a file system without locks (some object store mounts) a change goes ahead without: numbers are still distinct,
    since a version is renamed into place and never over another one.
    """
    with open(serving / LOCK_FILE, "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            progress.warning(f"{serving} has no locks ({first_line(error)}): let one push at a time use it")
        yield


def write_synced(path: Path, text: str) -> None:
    """Writes a file that is either as it was or complete, also after a power cut.

    `components.files.paths.write_atomically` does not wait for the disk; what servers follow must.

    Raises:
        OSError: it could not be written; nothing is left of it.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
