"""Writes down every name that Python looks up and every address that it connects to; Python runs this at its start.

GRAFT_NETWORK_LOG names the file. What stays on this machine is left out.
"""

import os
import sys

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
PLACE = os.environ.get("GRAFT_NETWORK_LOG")


def note(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook, see https://docs.python.org/3/library/audit_events.html."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host)
    if not name.startswith(LOCAL):
        with open(str(PLACE), "a", encoding="utf-8") as file:
            file.write(f"{event} {name} {' '.join(sys.argv[:3])}\n")


if PLACE:
    sys.addaudithook(note)
