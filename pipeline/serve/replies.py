"""Answers that are no prediction: refusals in the form of all errors, and the headers of what a browser shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pipeline.serve.rest import ServingError

CLIENT_GONE = 499  # of no standard; counted, never sent
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
IMAGE_HEADERS = {  # no other site may show them
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "private, no-cache",
}
Handler = Callable[[Request], Awaitable[Response]]


def refusal(error: ServingError) -> Response:
    """Makes the answer `{"error": message}` of a refused request."""
    headers = {"Connection": "close"} if error.status in (408, 413, 415) else {}  # the rest of the body is not read
    if error.status == 503:
        headers["Retry-After"] = "1"
    return JSONResponse({"error": error.message}, error.status, headers)


def refusing(handler: Handler) -> Handler:
    """Wraps a handler, so that a `ServingError` becomes its answer, and a client that left gets none."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ServingError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)

    return answer
