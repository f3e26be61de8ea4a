"""Files and folders on local and remote paths, and atomic writes. TensorFlow is loaded where a remote path is touched.

Remote is every path with a scheme (`gs://`, `s3://`): TensorFlow's file systems open it, and their errors come as
OSError here, as those of a local file do. What lists or reads users' data in object stores is `sources/content/remote`,
which needs sizes, times and credentials that TensorFlow's file systems do not give.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

PARTIAL = ".partial"
CHUNK = 1 << 20  # bytes that are read at a time


def is_remote(path: str) -> bool:
    """Tells whether a path has a scheme."""
    return "://" in path


def scheme_of(path: str) -> str:
    """Gives the text before `://`, in small letters."""
    return path.partition("://")[0].lower()


def join(folder: str, name: str) -> str:
    """Gives the path of a name below a folder; a name that begins with a slash stays below it."""
    return f"{folder.rstrip('/')}/{name}"


@contextmanager
def _file_systems() -> Iterator[Any]:
    """Gives TensorFlow's file systems.

    Raises:
        OSError: for TensorFlow's own errors; FileNotFoundError where there is no such file.
    """
    import tensorflow as tf  # only here: a process that touches local files alone starts without it

    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from error
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def exists(path: str) -> bool:
    """Tells whether there is a file or a folder."""
    if not is_remote(path):
        return os.path.exists(path)
    with _file_systems() as gfile:
        return bool(gfile.exists(path))


def is_folder(path: str) -> bool:
    """Tells whether a path is that of a folder."""
    if not is_remote(path):
        return os.path.isdir(path)
    with _file_systems() as gfile:
        return bool(gfile.isdir(path))


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Opens a file for reading its bytes.

    Raises:
        OSError: it cannot be opened; reading raises it, too.
    """
    if not is_remote(path):
        with open(path, "rb") as file:  # not through TensorFlow: Python's own is faster
            yield file
        return
    with _file_systems() as gfile, gfile.GFile(path, "rb") as file:
        yield file


def read_bytes(path: str) -> bytes:
    """Reads a whole file.

    Raises:
        OSError: it cannot be read; FileNotFoundError where it does not exist.
    """
    with opened(path) as file:
        return file.read()


def write_atomically(path: str, content: bytes | str) -> None:
    """Writes a file that is either complete under its name, or not there.

    Args:
        path: of the file; its folder exists.
        content: bytes, or text that is written as UTF-8.

    Raises:
        OSError: it could not be written; nothing is left of it.
    """
    partial = f"{path}.{uuid.uuid4().hex}{PARTIAL}"  # a name of its own: two writers do not disturb each other
    raw = content.encode() if isinstance(content, str) else content
    try:
        if is_remote(path):
            with _file_systems() as gfile, gfile.GFile(partial, "wb") as file:
                file.write(raw)
        else:
            with open(partial, "wb") as file:
                file.write(raw)
        rename(partial, path)
    except BaseException:
        with suppress(OSError):
            remove(partial)
        raise


def list_names(folder: str, suffix: str = "") -> list[str]:
    """Lists the names in a folder that have this ending, sorted; none where there is no folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if not is_remote(folder):
            return sorted(name for name in os.listdir(folder) if name.endswith(suffix))
        with _file_systems() as gfile:
            return sorted(name for name in gfile.listdir(folder) if name.endswith(suffix))
    return []


def walk_files(folder: str) -> list[str]:
    """Lists all files below a folder as paths below it, in no promised order; none where there is no folder.

    The empty objects that stand for folders in a bucket are no files.
    """
    if is_remote(folder):
        with _file_systems() as gfile:
            walked = list(gfile.walk(folder))
    else:
        walked = list(os.walk(folder))
    files = (os.path.join(place, name) for place, _, names in walked for name in names if name.strip("/"))
    return [os.path.relpath(file, folder) for file in files]


def make_folder(folder: str) -> None:
    """Makes a folder and the folders above it."""
    if is_remote(folder):
        with _file_systems() as gfile:
            gfile.makedirs(folder)
    else:
        os.makedirs(folder, exist_ok=True)


def rename(path: str, target: str) -> None:
    """Gives a file another name; a file of that name is replaced."""
    if is_remote(path):
        with _file_systems() as gfile:
            gfile.rename(path, target, overwrite=True)
    else:
        os.replace(path, target)


def remove(path: str) -> None:
    """Removes a file.

    Raises:
        OSError: it cannot be removed; FileNotFoundError where it does not exist.
    """
    if is_remote(path):
        with _file_systems() as gfile:
            gfile.remove(path)
    else:
        os.remove(path)


def remove_folder(folder: str) -> None:
    """Removes a folder with all that is in it; nothing happens where there is none."""
    with suppress(FileNotFoundError):
        if is_remote(folder):
            with _file_systems() as gfile:
                gfile.rmtree(folder)
        else:
            shutil.rmtree(folder)
