"""Paths with a scheme, such as `gs://bucket/data`, through TensorFlow's file systems; it is loaded only for them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from components.errors import InputError
from components.example_gen.listing import Source, Tree
from components.lines import Line, current_line

CALLS = 32  # at once: a remote file system is mostly waited for
BUFFER = 1 << 20  # bytes; every call for more is a round trip


def is_remote(path: str) -> bool:
    """Whether a path has a scheme."""
    return "://" in path


def kind_of(path: str) -> str:
    """`folder`, `file`, or an empty string where there is nothing.

    Raises:
        InputError: the plugin of its file system is missing, or the file system refuses.
    """
    import tensorflow as tf

    try:
        return "folder" if tf.io.gfile.stat(path).is_directory else "file"
    except tf.errors.NotFoundError:
        return ""
    except tf.errors.UnimplementedError as error:
        raise InputError(
            f"data.path: no file system for {path.partition('://')[0]}:// is installed, asked for by {path}.\n"
            f"{_advise(current_line())}"
        ) from error
    except tf.errors.OpError as error:
        raise InputError(
            f"data.path: cannot reach {path}: {one_line(error)}.\nCheck the path and the credentials of this machine."
        ) from error


def _advise(line: Line) -> str:
    """What to do where TensorFlow does not know a scheme."""
    if line.file_systems:
        return f"Install its plugin (pip install {line.file_systems}), or copy the data to a local folder."
    return f"On TFX {line.name} TensorFlow opens gs:// only: mount it, or copy the data to a local folder."


def walk(root: str) -> Tree:
    """All files below a remote folder, with size and time where the file system tells them."""
    import tensorflow as tf

    tree = Tree(root)
    names: list[str] = []
    failed: list[Exception] = []
    for folder, _, files in tf.io.gfile.walk(root, onerror=failed.append):
        below = folder[len(root) :].strip("/")
        if below:
            tree.folders.append(below)
        names += [f"{below}/{file}" if below else file for file in files]
    with ThreadPoolExecutor(CALLS) as pool:
        tree.files = list(pool.map(lambda name: stat_source(name, join(root, name)), names))
    if failed:
        raise InputError(f"data.path: cannot list all of {root}: {one_line(failed[0])}.\nCheck the rights to read it.")
    return tree


def join(folder: str, name: str) -> str:
    """The path of a name below a folder."""
    return f"{folder.rstrip('/')}/{name}"


def stat_source(name: str, path: str) -> Source:
    """A source for a remote file; one that is not there, or is a folder, has a problem."""
    import tensorflow as tf

    try:
        status = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError:
        return Source(name, "", path, problem="no such file")
    except tf.errors.OpError as error:
        return Source(name, "", path, problem=one_line(error))
    if status.is_directory:
        return Source(name, "", path, problem="a folder")
    return Source(name, "", path, size=status.length, mtime_ns=max(0, status.mtime_nsec))


def open_file(path: str) -> io.BufferedReader:
    """A remote file as Python's libraries expect one: seekable, buffered; its errors are `OSError`."""
    return io.BufferedReader(_Raw(path), BUFFER)


class _Raw(io.RawIOBase):
    def __init__(self, path: str) -> None:
        import tensorflow as tf

        self._file = tf.io.gfile.GFile(path, "rb")
        with _as_os_error():
            self._size = self._file.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        with _as_os_error():
            self._file.seek(start + offset)
        return start + offset

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with _as_os_error():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _as_os_error() -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """An error's text, of whatever shape, on one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
