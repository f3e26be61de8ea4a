"""Which version answers: follows the pointer of a serving directory, and swaps versions without dropping a request.

A thread looks at the pointer twice a second. A new version is loaded and warmed up beside the one that answers; then
new requests go to it, and those under way end on the old one. The version that was served before stays in memory (at
the start it is loaded, too), so that a rollback is immediate; an older one is freed when its last request is done.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.errors import InputError, first_line
from components.registry import versions
from components.registry.find import find_model, serving_dir
from pipeline.serve.loading import LoadedVersion, load_version
from pipeline.serve.rest import ServingError, invalid, not_found

POLL_SECONDS = 0.5
RETRY_SECONDS = 10.0  # after a version that could not be loaded
LABEL = "stable"  # of the version that is served
SHOWN_ENDS = 10  # versions no longer loaded that the status still lists
log = logging.getLogger("graft.serve")


class Host:
    """The versions in memory.

    Attributes:
        name: of the model, in URLs.
        serving: the folder that holds the versions.
        problem: why the version that the pointer names is not the one that answers; empty: it is.
        reloads: how many times a version followed another.
        notice: why the model that answers was not pushed; empty: it is a version, or a model of others.
    """

    def __init__(
        self, model: str, name: str, max_batch: int, load: Callable[[Path, int], LoadedVersion] = load_version
    ):
        """Finds the model; nothing is loaded yet.

        Args:
            model: a version's folder, which is served whatever happens beside it; or a working or serving directory,
                whose pointer is followed.
            name: of the model; empty: that of its passport.
            max_batch: the largest batch that it will see.
            load: how a version gets into memory.

        Raises:
            InputError: there is no model.
        """
        folder = find_model(model)
        is_version = Path(model, versions.SAVED_MODEL_FILE).is_file()
        self._fixed = folder if is_version else None
        self.serving = folder.parent if is_version else serving_dir(model)
        self.name = name or str(versions.read_passport(folder).get("name", "")) or "graft"
        self.problem = ""
        self.reloads = 0
        self.notice = ""
        self._load, self._max_batch = load, max_batch
        self._current: LoadedVersion | None = None
        self._before: LoadedVersion | None = None
        self._states: dict[int, str] = {}
        self._ended: list[int] = []
        self._failed: tuple[Path, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="graft-pointer", daemon=True)

    def start(self) -> None:
        """Loads the version that is to be served, then follows the pointer.

        Raises:
            InputError: the pointer names no version.
            Exception: whatever loading raises; a server that never had a model is none.
        """
        self._swap(self._wanted())
        self._thread.start()

    def close(self) -> None:
        """Stops following the pointer."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def current(self) -> LoadedVersion | None:
        """The version that answers; None before the first one is loaded."""
        return self._current

    def get(self, name: str, version: int | None = None, label: str = "") -> LoadedVersion:
        """Gives the version that a request is for.

        Raises:
            ServingError: it is not loaded.
        """
        if label and label != LABEL:
            raise invalid(f"Unrecognized servable version label: {label}")
        loaded = self._current
        if version is not None and loaded is not None and loaded.number != version:
            loaded = self._before if self._before and self._before.number == version else None
            if loaded is None:
                raise not_found(f"Servable not found for request: Specific({name}, {version})")
        if name != self.name:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise not_found(f"Servable not found for request: {asked}")
        if loaded is None:
            raise ServingError(503, f"{name} is being loaded")
        return loaded

    def status(self, name: str, version: int | None = None, label: str = "") -> dict[str, Any]:
        """Gives a `GetModelStatusResponse` as JSON.

        Raises:
            ServingError: no such model or version.
        """
        if label:
            version = self.get(name, None, label).number
        states = dict(self._states)
        if name != self.name or not states:
            raise not_found(f"Could not find any versions of model {name}")
        if version is not None and version not in states:
            raise not_found(f"Could not find version {version} of model {name}")
        return {
            "model_version_status": [
                {"version": str(number), "state": state, "status": {"error_code": "OK", "error_message": ""}}
                for number, state in sorted(states.items(), reverse=True)
                if version in (None, number)
            ]
        }

    def _wanted(self) -> Path:
        if self._fixed:
            return self._fixed
        number = versions.served_version(self.serving)
        if number is None:
            raise InputError(f"There is no version left in {self.serving}.")
        return self.serving / str(number)

    def _watch(self) -> None:
        self._stand_by()
        while not self._stop.wait(POLL_SECONDS):
            self._look()

    def _stand_by(self) -> None:
        """Loads what a rollback would go back to; without it, the rollback takes longer."""
        try:
            number = None if self._fixed else versions.previous_version(self.serving)
            if number is not None and self._current is not None and number != self._current.number:
                self._before = self._bring(number, self.serving / str(number), "stands by")
        except Exception as error:  # noqa: BLE001  nothing that answers depends on it
            log.warning("The version before is not at hand: %s", first_line(error))

    def _look(self) -> None:
        """Looks at the pointer once; what goes wrong is said, and the version that answers goes on answering."""
        try:
            wanted = self._wanted()
            is_current = self._current is not None and wanted.name == str(self._current.number)
            if self._fixed or is_current:
                self.problem = ""
            elif not (self._failed and self._failed[0] == wanted and time.monotonic() < self._failed[1]):
                self._swap(wanted)
        except Exception as error:  # noqa: BLE001  the server outlives a version that cannot be loaded
            if first_line(error) != self.problem:
                log.error("The version that is to be served cannot be: %s", first_line(error))
            self.problem = first_line(error)

    def _swap(self, folder: Path) -> None:
        number = int(folder.name) if folder.name.isdecimal() else 1
        before, old = self._before, self._current
        if before is not None and before.number == number:
            self._current, self._before = before, old
            log.info("Version %s answers; it was still in memory", number)
        else:
            self._current, self._before = self._bring(number, folder), old
            if before is not None:
                self._states[before.number] = "UNLOADING"
                weakref.finalize(before, self._drained, before.number).atexit = False
        self._failed, self.problem = None, ""
        self.reloads += old is not None

    def _bring(self, number: int, folder: Path, what: str = "answers") -> LoadedVersion:
        """Loads a version; `what` says in the log what the version does then."""
        self._states[number] = "LOADING"
        started = time.monotonic()
        try:
            loaded = self._load(folder, self._max_batch)
        except Exception:
            self._states.pop(number)
            self._failed = folder, time.monotonic() + RETRY_SECONDS
            raise
        self._states[number] = "AVAILABLE"
        log.info("Version %s %s, loaded in %.1f s", number, what, time.monotonic() - started)
        return loaded

    def _drained(self, number: int) -> None:
        """The last request on an old version is done."""
        if self._states.get(number) == "UNLOADING":
            self._states[number] = "END"
            self._ended.append(number)
            while len(self._ended) > SHOWN_ENDS:
                first = self._ended.pop(0)
                if self._states.get(first) == "END" and first not in self._ended:
                    del self._states[first]
        threading.Thread(target=gc.collect, name="graft-free").start()  # TensorFlow's functions are in cycles
