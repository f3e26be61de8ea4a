"""Files on local and remote paths that are either complete or not there. TensorFlow is loaded when one is touched."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from components.errors import InputError, first_line

PARTIAL = ".partial"


def write_atomically(path: str, content: bytes) -> None:
    """Writes a file that is either complete under its name, or not there.

    Raises:
        OSError, tf.errors.OpError: it could not be written; nothing is left of it.
    """
    import tensorflow as tf

    partial = f"{path}.{uuid.uuid4().hex}{PARTIAL}"
    try:
        with tf.io.gfile.GFile(partial, "wb") as file:
            file.write(content)
        tf.io.gfile.rename(partial, path, overwrite=True)
    except BaseException:
        with suppress(*file_errors()):
            tf.io.gfile.remove(partial)
        raise


def list_names(folder: str, suffix: str) -> list[str]:
    """Names in a folder that end so, sorted; none where there is no folder."""
    import tensorflow as tf

    with suppress(tf.errors.NotFoundError):
        return sorted(name for name in tf.io.gfile.listdir(folder) if name.endswith(suffix))
    return []


def make_folder(folder: str) -> None:
    """Makes a folder and those above it."""
    import tensorflow as tf

    tf.io.gfile.makedirs(folder)


def file_errors() -> tuple[type[Exception], ...]:
    """What a local or a remote file system raises."""
    import tensorflow as tf

    return (OSError, tf.errors.OpError)


@contextmanager
def explained(folder: str) -> Iterator[None]:
    """Says what to do where kept features cannot be written.

    Raises:
        InputError: for any error of the file system.
    """
    try:
        yield
    except file_errors() as error:
        raise InputError(
            f"features: expected to write kept features into {folder}, got: {first_line(error)}.\n"
            "Nothing half-written is trusted. Make room (graft features prune WORKDIR) or the folder writable, and "
            "start the run again: it continues with what is complete."
        ) from error


def seal(content: bytes) -> bytes:
    """The content behind a line with its sha256."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unseal(sealed: bytes) -> bytes:
    """The content, when it is what was sealed.

    Raises:
        ValueError: it is not.
    """
    digest, _, content = sealed.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("its sha256 is not that of its content")
    return content
