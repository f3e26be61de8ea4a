"""Errors of a Kubeflow server in words for the user."""

from __future__ import annotations

import json
from typing import Any

from components.errors import InputError, first_line
from pipeline.kubeflow.service import CRON_HINT, NotFound, ServiceError

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
LOGIN = "Log in with the browser and put the session's cookies into GRAFT_KFP_COOKIES, or use a token"


def status_of(error: BaseException) -> int | None:
    """Gives the HTTP status of an answer; None where there was no answer."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) and status > 0 else None


def is_transient(error: BaseException) -> bool:
    """Tells whether the same request may succeed a moment later: no answer, or an answer that says so."""
    import urllib3.exceptions

    if _is_certificate(error):
        return False
    status = status_of(error)
    return status in TRANSIENT if status else isinstance(error, urllib3.exceptions.HTTPError | ConnectionError)


def explain(error: BaseException, host: str, what: str, source: str) -> Exception:
    """Makes the error for the user.

    Args:
        error: of the client.
        host: the server's address.
        what: the request in words, after "while".
        source: where the credentials came from that were sent.
    """
    if isinstance(error, InputError | ServiceError):
        return error
    status, said = status_of(error), message_of(error)
    where = f"Kubeflow at {host}"
    if status is None:
        return _without_answer(error, where, what)
    if status in TRANSIENT:
        return ServiceError(f"{where} failed while {what} ({status}, tried several times): {said}", retry=True)
    if status == 401:
        return InputError(_unauthorized(where, said, source))
    kind = NotFound if status == 404 and "/apis/" not in said else InputError
    return kind(_REFUSALS.get(status, _refused)(where, what, status, said))


def message_of(error: BaseException) -> str:
    """Gives the server's message, without headers: they may hold cookies."""
    body: Any = getattr(error, "body", None)
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    try:
        content = json.loads(body or "")
        said = content.get("message") or content.get("error") or "" if isinstance(content, dict) else ""
        said = said if isinstance(said, str) else str(said)
    except ValueError:
        said = "" if not body or "<" in body[:200] else body  # a proxy's page is no message
    return " ".join((said or str(getattr(error, "reason", "") or "no reason given")).split())[:500]


def check_answer(answer: Any, attribute: str, host: str) -> Any:
    """Checks that an answer holds an attribute, and gives the answer back.

    Raises:
        InputError: a page in place of the API, such as a login's: the client reads it as an empty answer.
    """
    if not getattr(answer, attribute, None):
        raise InputError(
            f"{host} answers, but not as the API of Kubeflow Pipelines v2: expected {attribute} in the answer, "
            f"found none.\nA login page in between? {LOGIN}. Or --host lacks a path, such as /pipeline."
        )
    return answer


def _without_answer(error: BaseException, where: str, what: str) -> Exception:
    if _is_certificate(error):
        return InputError(
            f"{where} shows a certificate that this machine does not trust: {_reason(error)}.\n"
            "Put the authority's certificate into a file and name it in SSL_CERT_FILE."
        )
    if status_of(error) is None and not is_transient(error):
        if isinstance(error, ValueError | TypeError | AttributeError):
            return InputError(
                f"{where} answers, but not as the API of Kubeflow Pipelines v2 ({first_line(error)[:200]}).\n"
                f"A login page in between? {LOGIN}. Or --host lacks a path, such as /pipeline."
            )
        return error if isinstance(error, Exception) else RuntimeError(str(error))
    return ServiceError(f"{where} gives no answer while {what} (tried several times): {_reason(error)}", retry=True)


def _is_certificate(error: BaseException) -> bool:
    return "CERTIFICATE_VERIFY" in str(error) or "CERTIFICATE_VERIFY" in str(getattr(error, "reason", ""))


def _reason(error: BaseException) -> str:
    text = str(getattr(error, "reason", None) or error)
    return " ".join(text.rpartition("object at 0x")[2].partition(">: ")[2].split() or text.split())[:300]


def _unauthorized(where: str, said: str, source: str) -> str:
    return (
        f"{where} does not accept the credentials (401): {said}\n"
        f"Expected a token or a session that is still good; taken from: {source}.\n"
        "Renew it, then set GRAFT_KFP_TOKEN or GRAFT_KFP_COOKIES, or give --token-file FILE."
    )


def _forbidden(where: str, what: str, status: int, said: str) -> str:
    return (
        f"{where} knows who you are and forbids {what} ({status}): {said}\n"
        "Expected rights in the namespace: on a multi-user Kubeflow, give your profile's with --namespace, or ask its "
        "owner to add you as a contributor."
    )


def _not_found(where: str, what: str, status: int, said: str) -> str:
    return (
        f"{where} has nothing there ({status}) while {what}: {said}\n"
        "Expected the API of Kubeflow Pipelines 2.0 or newer below /apis/v2beta1; does --host lack a path such as "
        "/pipeline, or is the server of version 1?"
    )


def _conflict(where: str, what: str, status: int, said: str) -> str:
    return f"{where} has one of that name already ({status}) while {what}: {said}\nGive another name with --name."


def _moved(where: str, what: str, status: int, said: str) -> str:
    return f"{where} sends us to another page ({status}) while {what}: a login.\n{LOGIN} in GRAFT_KFP_TOKEN."


def _refused(where: str, what: str, status: int, said: str) -> str:
    hint = ""
    if "namespace" in said.lower():
        hint = "\nOn a multi-user Kubeflow, give your profile's with --namespace; on a single-user one, none."
    if "cron" in said.lower():
        hint = f"\n{CRON_HINT}"
    return f"{where} refuses {what} ({status}): {said}{hint}"


_REFUSALS = {
    301: _moved,
    302: _moved,
    303: _moved,
    307: _moved,
    308: _moved,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
}
