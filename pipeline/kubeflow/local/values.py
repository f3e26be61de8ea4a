"""Values as the backend of Kubeflow Pipelines writes and reads them.

`tests/pipeline/kubeflow/test_backend.py` says where in its Go code, and holds these functions against it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from kfp.pipeline_spec import pipeline_spec_pb2 as proto

Kind = proto.ParameterType
BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
KINDS: tuple[tuple[Any, tuple[int, ...]], ...] = (
    (bool, (Kind.BOOLEAN,)),
    ((int, float), (Kind.NUMBER_INTEGER, Kind.NUMBER_DOUBLE)),
    (str, (Kind.STRING,)),
    (list, (Kind.LIST,)),
    (dict, (Kind.STRUCT,)),
)


class BackendError(RuntimeError):
    """What makes the driver or the launcher fail a task, whatever its command did."""


def to_text(value: Any) -> str:
    """Writes a value for a placeholder of the launcher, or where a text is asked for: numbers have no exponent."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return to_argument(value)


def to_argument(value: Any) -> str:
    """Writes a value for an argument of the driver: Go's `%d` for whole numbers, `%g` for others, such as `1e-05`."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape_html(json.dumps(whole_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    if float(value).is_integer():
        return str(int(value))
    shortest = Decimal(repr(value)).normalize()
    return to_text(value) if -4 <= shortest.adjusted() < 6 else f"{value:.{len(shortest.as_tuple().digits) - 1}e}"


def escape_html(text: str) -> str:
    """Writes JSON as Go's encoder does."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def whole_numbers(value: Any) -> Any:
    """Makes `3.0` to `3` in a value of dicts, lists and scalars, as Go writes it in JSON."""
    if isinstance(value, dict):
        return {key: whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def from_text(text: str, kind: int) -> Any:
    """Reads the text of an output parameter as the launcher does.

    Raises:
        BackendError: the text is none of that kind.
    """
    try:
        if kind == Kind.NUMBER_INTEGER:
            return int(text)
        if kind == Kind.NUMBER_DOUBLE:
            return float(text)
        if kind == Kind.BOOLEAN:
            return BOOLEANS[text.strip()]
        if kind not in (Kind.LIST, Kind.STRUCT):
            return text
        return check_kind("", json.loads(text), kind)
    except (ValueError, KeyError, BackendError) as error:
        raise BackendError(f"expected a {Kind.ParameterTypeEnum.Name(kind)}, got {text!r}") from error


def check_kind(name: str, value: Any, kind: int) -> Any:
    """Checks the kind of an input parameter as the driver does: anything becomes a text where one is declared.

    Raises:
        BackendError: the value is of another kind.
    """
    if kind == Kind.STRING:
        return value if isinstance(value, str) else to_text(value)
    allowed = next((kinds for types, kinds in KINDS if isinstance(value, types)), ())
    if kind not in allowed:
        wanted = Kind.ParameterTypeEnum.Name(kind)
        raise BackendError(f'input parameter "{name}" type mismatch: expect {wanted}, got {value!r}')
    return value


def through_metadata(name: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Gives what the next task gets of an artifact's metadata, which ML Metadata kept in between.

    Args:
        name: of the output.
        metadata: as the executor and the compiled file say.

    Raises:
        BackendError: a value that ML Metadata cannot hold.
    """
    kept: dict[str, Any] = {"display_name": name, "store_session_info": '{"Provider":"","Params":null}'}
    for key, value in metadata.items():
        if value is None:
            raise BackendError(f'unable to produce MLMD artifact for output "{name}": {key} is null')
        wrapper = "list" if isinstance(value, list) else "struct" if isinstance(value, dict) else ""
        kept[key] = {wrapper: value} if wrapper else float(value) if isinstance(value, bool) else value
    return kept
