"""JSON to tensors and back, by the rules of TensorFlow Serving's `json_tensor`; pure functions.

Source: https://www.tensorflow.org/tfx/serving/api_rest. Error texts are TensorFlow Serving's, with long values cut.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.serve.errors import ServingError, invalid

STRING = "string"
SHOWN = 100  # characters of a value in an error
MAX_DEPTH = 32  # of lists and objects in each other; no tensor has as many dimensions
MAX_CONTAINERS = 1_000_000  # lists and objects of a body; each takes some 60 bytes of memory for two of the body
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
JSON_TYPES = {dict: "Object", list: "Array", str: "String", bool: "Bool", int: "Number", float: "Number"}


@dataclass(frozen=True)
class Spec:
    """An input of a signature: its dtype in TensorFlow's words, and its shape with -1 for any size."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorRequest:
    """A parsed `:predict` body: inputs by name, and whether the answer is to be in rows (`instances`)."""

    inputs: dict[str, np.ndarray]
    in_rows: bool


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ServingError: it is none.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        if text.count("[") + text.count("{") > MAX_CONTAINERS:
            raise invalid(f"JSON Parse error: more than {MAX_CONTAINERS:,} lists and objects")
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    _check_depth(document)
    if SURROGATE.search(text):
        _check_surrogates(document)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_show(document)} Is not object")
    return document


def _check_depth(document: Any) -> None:
    """Refuses what is nested deeper than any tensor, so that all that walks the document may call itself."""
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for value in level for inner in _held_by(value) if isinstance(inner, dict | list)]
        if not level:
            return
    raise invalid(f"JSON Parse error: lists and objects are nested more than {MAX_DEPTH} deep")


def _held_by(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_surrogates(document: Any) -> None:
    """Refuses half a surrogate pair, which is no character, in any text or key."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid") from None


def signature_name(document: dict[str, Any]) -> str:
    """Which signature is asked for.

    Raises:
        ServingError: the name is no text.
    """
    name = document.get("signature_name") if "signature_name" in document else ""
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_show(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or "serving_default"


def parse_request(document: dict[str, Any], specs: dict[str, Spec]) -> TensorRequest:
    """The inputs of a request, in rows (`instances`) or columns (`inputs`).

    Args:
        document: the body.
        specs: of the signature's inputs.

    Raises:
        ServingError: the body does not fit the signature.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_show(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        request = TensorRequest(_from_rows(document["instances"], specs), True)
    elif "inputs" in document:
        request = TensorRequest(_from_columns(document["inputs"], specs), False)
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    _check_shapes(request.inputs, specs)
    return request


def _from_rows(rows: Any, specs: dict[str, Spec]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {_show(rows)} Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid("JSON Value: [] No values in 'instances' array")
    named = _is_object(rows[0])
    if not named and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, list[np.ndarray]] = {name: [] for name in specs}
    for index, row in enumerate(rows):
        if _is_object(row) != named:
            found = "Expecting object but got list" if named else "Expecting value/list but got object"
            raise invalid(f"{found} at item {index} of input list")
        if named and set(row) != set(specs):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: {_show(row)} keys must be equal "
                f"to: {','.join(sorted(specs))}"
            )
        for name, value in (row if named else {next(iter(specs)): row}).items():
            columns[name].append(_row_tensor(value, specs[name], name if named else "", index))
    return {name: _stack(name, column) for name, column in columns.items()}


def _row_tensor(value: Any, spec: Spec, name: str, index: int) -> np.ndarray:
    try:
        return to_tensor(value, spec.dtype)
    except ServingError as error:
        raise element_error(index, name, error.message) from error


def element_error(index: int, name: str, message: str) -> ServingError:
    """An error of one row, as TensorFlow Serving words it; the name is empty in a plain list."""
    key = f" key: {name}" if name else ""
    return invalid(f"Failed to process element: {index}{key} of 'instances' list. Error: INVALID_ARGUMENT: {message}")


def _stack(name: str, rows: list[np.ndarray]) -> np.ndarray:
    for index, row in enumerate(rows):
        if row.shape != rows[0].shape:
            message = f"Expecting shape {_show_shape(rows[0].shape)} but got: {_show_shape(row.shape)}"
            raise element_error(index, name, message)
    stacked = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for index, row in enumerate(rows):
        stacked[index] = row[()] if not row.shape else row
    return stacked


def _from_columns(value: Any, specs: dict[str, Spec]) -> dict[str, np.ndarray]:
    if not _is_object(value):
        if len(specs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(specs)): value}
    for name in specs:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_tensor(value[name], spec.dtype) for name, spec in specs.items()}


def _check_shapes(inputs: dict[str, np.ndarray], specs: dict[str, Spec]) -> None:
    """Refuses what the signature has no room for, and rows that do not match: batches are joined by rows."""
    for name, array in inputs.items():
        shape = specs[name].shape
        fits = len(shape) == array.ndim and all(want in (-1, got) for want, got in zip(shape, array.shape, strict=True))
        if not fits or not array.ndim or not len(array):
            raise invalid(f"Input {name} must be of shape {_show_shape(shape)}, got: {_show_shape(array.shape)}")
    if len({len(array) for array in inputs.values()}) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")


def _is_object(value: Any) -> bool:
    """Whether it names things; `{"b64": ...}` is a value."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get("b64"), str)


def to_tensor(value: Any, dtype: str) -> np.ndarray:
    """A nested list to an array; strings become bytes in an array of objects.

    Raises:
        ServingError: a value of another type, or a ragged list.
    """
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat: list[Any] = []
    _fill(value, 0, shape, dtype, flat)
    array = np.empty(len(flat), object if dtype == STRING else dtype)
    try:
        array[:] = flat
    except OverflowError as error:
        raise invalid(f"Cannot convert JSON value: {_show(value)} to {dtype} without loss of precision.") from error
    return array.reshape(shape)


def _fill(value: Any, level: int, shape: list[int], dtype: str, flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_to_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for inner in value:
        _fill(inner, level + 1, shape, dtype, flat)


def _to_scalar(value: Any, dtype: str) -> Any:
    if dtype == STRING and isinstance(value, str):
        return value.encode()
    if dtype == STRING and isinstance(value, dict):
        return _decode_base64(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype.startswith(("float", "double")) and is_number:
        return value
    if "int" in dtype and is_number and (isinstance(value, int) or value.is_integer()):
        return int(value)
    kind = JSON_TYPES.get(type(value), "Null")
    raise invalid(f"JSON Value: {_show(value)} Type: {kind} is not of expected type: {dtype}")


def _decode_base64(value: dict[str, Any]) -> bytes:
    """Standard or URL-safe, with or without padding."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_show(value)} not formatted correctly for base64 data")
    try:
        plain = value["b64"].encode("ascii").translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n").rstrip(b"=")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise invalid("Unable to base64 decode") from error


def _show(value: Any) -> str:
    """A value for an error: short, whatever was sent."""
    text = json.dumps(_cut(value))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _cut(value: Any) -> Any:
    """The value with long texts cut, before any of it is copied."""
    if isinstance(value, str):
        return value[:SHOWN]
    if isinstance(value, list):
        return [_cut(inner) for inner in value[:3]]
    if isinstance(value, dict):
        return {key[:SHOWN]: _cut(inner) for key, inner in list(value.items())[:3]}
    return value


def _show_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def format_answer(outputs: dict[str, np.ndarray], in_rows: bool) -> bytes:
    """The body of an answer: `predictions`, a row an instance, or `outputs`, a column an output.

    Args:
        outputs: each with the batch as first dimension. One whose name ends in `_bytes` is written in base64.
        in_rows: as the request was.
    """
    columns = {name: _to_json(array, name.endswith("_bytes")) for name, array in outputs.items()}
    if in_rows:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        answer: Any = {"predictions": rows if len(columns) > 1 else next(iter(columns.values()))}
    else:
        answer = {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def _to_json(array: np.ndarray, as_bytes: bool) -> Any:
    if array.dtype == object:
        return _strings_to_json(array.tolist(), as_bytes)
    if array.dtype == np.float32:  # the shortest digits that give the same float32
        return np.array([float(text) for text in array.ravel().astype("U32")]).reshape(array.shape).tolist()
    return array.tolist()


def _strings_to_json(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_strings_to_json(inner, as_bytes) for inner in value]
    return {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode("utf-8", "replace")
