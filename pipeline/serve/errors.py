"""What a request can end in besides an answer."""

from __future__ import annotations


class ServingError(Exception):
    """A request is refused; the body is `{"error": message}`, as TensorFlow Serving's.

    Attributes:
        status: of HTTP. TensorFlow Serving's: 400 for INVALID_ARGUMENT, 404 NOT_FOUND, 500 INTERNAL, 503 UNAVAILABLE;
            and 408 and 413, which are the web server's own there.
        message: one line for the caller.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT."""
    return ServingError(400, message)


def not_found(message: str) -> ServingError:
    """NOT_FOUND."""
    return ServingError(404, message)
