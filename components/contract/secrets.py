"""Passwords in addresses: they would end up in configurations, passports, records, logs and compiled pipelines.

An address with one is refused where it comes in, in words that do not repeat it, so that nothing behind can hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from components.errors import InputError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+")
USER_IS_NO_SECRET = ("abfs", "abfss", "wasb", "wasbs", "hdfs")  # a container or an account stands before the @
WEB = ("http", "https", "ftp", "ftps")  # a question mark ends the path; elsewhere it can be part of it
FREE_TEXT = ("--reason", "--host")  # may name any page; says so in its own words
ADVICE = (
    "Records would keep it and show it to others. Copy the data to a folder or bucket first, or give the secret to\n"
    "the file system by its own variables, such as AWS_SECRET_ACCESS_KEY; on a cluster by kubeflow.secrets."
)


def find_secret(text: str) -> str:
    """Finds the scheme of the first address in a text that has a password, token or signature; empty: none has."""
    for found in SCHEME.finditer(text):
        if _has_secret(found[1].lower(), text[found.end() :]):
            return found[1]
    return ""


def _has_secret(scheme: str, rest: str) -> bool:
    """Whether what follows a scheme has a user's password or token, or a query that may sign a request."""
    host, path = re.fullmatch(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, _ = unquote(host).rpartition("@")
    if at and (":" in user or (user and scheme not in USER_IS_NO_SECRET)):
        return True
    port = host.rpartition(":")[2] if ":" in host else "0"
    if "@" in path and not port.isdecimal() and not host.startswith("["):  # a password with a / or ? in it
        return True
    query = re.search(r"[?#](.*)", unquote(path), re.DOTALL)
    return query is not None and (scheme in WEB or "=" in query[1])


def refuse_secrets(content: Any, name: str) -> None:
    """Refuses addresses with secrets anywhere in a value.

    Args:
        content: text, list or mapping, nested as configurations are.
        name: of the option, for the message.

    Raises:
        InputError: names the option, not what was found in it.
    """
    for place, text in _texts(content, name):
        if scheme := find_secret(text):
            raise InputError(
                f"{place}: expected an address without password, token or signature, found {scheme}://*** with one.\n"
                f"{ADVICE}"
            )


def refuse_in_arguments(arguments: Iterable[str]) -> None:
    """Refuses addresses with secrets among the arguments of a command.

    Raises:
        InputError: names the option.
    """
    option = ""
    for argument in arguments:
        if argument.startswith("--"):
            option = argument.partition("=")[0]
        if option not in FREE_TEXT:
            refuse_secrets(argument, option or "the command line")


def _texts(content: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _texts(value, f"{name}.{key}" if name else str(key))
            yield name, str(key)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _texts(value, name)
