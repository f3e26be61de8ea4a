"""Data in object stores, `s3://BUCKET/KEY` and `gs://BUCKET/KEY`.

A process has connections of its own: what stands in a job or a `Source` is the path only.
"""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from components.errors import InputError
from components.files.object_stores import ADDRESS_VARIABLES, connect_to_bucket
from components.files.paths import join, scheme_of
from components.sources.listing import Source, Tree

CALLS = 32  # at once: a remote file system is mostly waited for
BUFFER = 1 << 20  # bytes; every call for more is a round trip
SCHEMES = tuple(ADDRESS_VARIABLES)
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the machine's role; AWS_ENDPOINT_URL names "
    "another service than Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the machine's service account",
}
DENIED = re.compile(r"denied|forbidden|invalid_access_key|signature|credential|token|oauth|\b40[13]\b", re.IGNORECASE)


def remote_kind(path: str) -> str:
    """Looks up a remote path: `folder`, `file`, or an empty string where there is nothing.

    Raises:
        InputError: the scheme is unknown, there is no such bucket, or the service refuses or cannot be reached.
    """
    from pyarrow.fs import FileType

    with _in_words(path):
        system, place = _locate(path)
        bucket, _, key = place.partition("/")
        if not key:
            return "folder"  # listing it tells whether it is there, with fewer rights than asking for the bucket
        kind = system.get_file_info(place).type
        if kind == FileType.NotFound and _is_missing(system, bucket):
            raise InputError(
                f"data.path: there is no bucket '{bucket}', asked for by {path}.\n"
                f"Check its name, and the credentials: {CREDENTIALS[scheme_of(path)]}."
            )
    return {FileType.Directory: "folder", FileType.File: "file"}.get(kind, "")


def _is_missing(system: Any, bucket: str) -> bool:
    from pyarrow.fs import FileType

    try:
        return bool(system.get_file_info(bucket).type == FileType.NotFound)
    except OSError:  # it may be there: reading objects takes no right to look at their bucket
        return False


def walk(root: str) -> Tree:
    """Lists all files below a remote folder, with size and time, by pages of the service's own lists.

    Raises:
        InputError: the service refuses or cannot be reached.
    """
    from pyarrow.fs import FileSelector, FileType

    tree, folders = Tree(root), set[str]()
    with _in_words(root):
        system, place = _locate(root)
        for info in system.get_file_info(FileSelector(place, recursive=True)):
            name = info.path[len(place) + 1 :]
            if "//" in info.path:  # pyarrow 10 of s3:// raises on its own, others list what cannot be opened
                raise OSError(f"'{name}' is in an empty folder")
            if info.type == FileType.Directory:
                folders.add(name)
            else:
                tree.files.append(_source(name, join(root, name), info))
                folders |= set(map(str, PurePosixPath(name).parents))  # not every service lists them
    tree.folders = sorted(folders - {"."})
    return tree


def stat_source(name: str, path: str) -> Source:
    """Makes the source of a remote file; a missing or unreachable file, or a folder, has a problem."""
    from pyarrow.fs import FileType

    try:
        system, place = _locate(path)
        info = system.get_file_info(place)
    except InputError as error:
        return Source(name, "", path, problem=str(error).partition("\n")[0])
    except (OSError, ValueError) as error:
        return Source(name, "", path, problem=one_line(error))
    if info.type == FileType.File:
        return _source(name, path, info)
    return Source(name, "", path, problem="a folder" if info.type == FileType.Directory else "no such file")


def _source(name: str, path: str, info: Any) -> Source:
    return Source(name, "", path, size=info.size or 0, mtime_ns=max(0, info.mtime_ns or 0))


def open_file(path: str) -> io.BufferedReader:
    """Opens a remote file as Python's libraries expect it: seekable, buffered, read by ranges.

    Raises:
        OSError: it cannot be opened; reading raises it, too.
    """
    try:
        system, place = _locate(path)
        return io.BufferedReader(system.open_input_file(place), BUFFER)
    except ValueError as error:  # an unknown scheme, or a path that no service takes
        raise OSError(one_line(error)) from error


def _locate(path: str) -> tuple[Any, str]:
    """The file system of a path, and `BUCKET/KEY` in it.

    Raises:
        InputError: its scheme is none of `SCHEMES`, or it names no bucket.
    """
    scheme, place = scheme_of(path), path.partition("://")[2].rstrip("/")
    if scheme not in SCHEMES:
        raise InputError(
            f"data.path: expected a local path, {' or '.join(f'{known}://' for known in SCHEMES)}, found {path}.\n"
            + (f"Write {path.partition('://')[2]}." if scheme == "file" else "Mount it, or copy the data to a folder.")
        )
    if not place or place.startswith("/"):
        raise InputError(f"data.path: expected {scheme}://BUCKET/FOLDER, found {path}.\nName the bucket.")
    bucket, slash, key = place.partition("/")
    return connect_to_bucket(scheme, bucket), bucket + slash + (posixpath.normpath(key) if key else "")


@contextmanager
def _in_words(path: str) -> Iterator[None]:
    """Turns what a service answers into two lines for the user."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:
        text, scheme = one_line(error), scheme_of(path)
        if "NO_SUCH_BUCKET" in text:
            fix = "Check the bucket's name."
        elif "nesting depth" in text or "empty folder" in text:
            fix = "A name in it has an empty folder (`a//b`) or too many of them: rename it, or copy the data."
        elif DENIED.search(text):
            fix = f"Give credentials that may list and read it: {CREDENTIALS[scheme]}."
        else:
            fix = f"Check the path, the network and the credentials: {CREDENTIALS[scheme]}."
        raise InputError(f"data.path: cannot reach {path}: {text}.\n{fix}") from error


def one_line(error: Exception) -> str:
    """Shortens an error's text to one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
