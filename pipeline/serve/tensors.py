"""JSON to tensors and back, by the rules of TensorFlow Serving's `json_tensor`; pure functions.

Source: https://www.tensorflow.org/tfx/serving/api_rest. Errors have TensorFlow Serving's codes and words of our own, as
nobody should read them but people.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.serve.rest import ServingError, invalid

STRING = "string"
SHOWN_CHARACTERS = 100  # characters of a value in an error
MAX_DEPTH = 32  # of lists and objects in each other; no tensor has as many dimensions
MAX_CONTAINERS = 1_000_000  # lists and objects of a body; each takes some 60 bytes of memory for two of the body
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


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
    """Reads the JSON object of a request.

    Raises:
        ServingError: it is none.
    """
    if not body:
        raise invalid("JSON Parse error: the body is empty")
    try:
        text = body.decode("utf-8-sig")
        if text.count("[") + text.count("{") > MAX_CONTAINERS:
            raise invalid(f"JSON Parse error: more than {MAX_CONTAINERS:,} lists and objects")
        document = json.loads(text)
        if SURROGATE_ESCAPE.search(text):  # half of a surrogate pair is no character, and no answer could repeat it
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    _check_depth(document)
    if not isinstance(document, dict):
        raise invalid(f"expected a JSON object, received {_show(document)}")
    return document


def _check_depth(document: Any) -> None:
    """Refuses what is nested deeper than any tensor, so that all that walks the document may call itself."""
    level: list[Any] = [[document]]
    for _ in range(MAX_DEPTH + 2):
        held = (value.values() if isinstance(value, dict) else value for value in level)
        level = [inner for values in held for inner in values if isinstance(inner, dict | list)]
        if not level:
            return
    raise invalid(f"JSON Parse error: lists and objects are nested more than {MAX_DEPTH} deep")


def signature_name(document: dict[str, Any]) -> str:
    """Gives the name of the signature that is asked for.

    Raises:
        ServingError: the name is no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"signature_name: expected a text, received {_show(name)}")
    return name or "serving_default"


def parse_request(document: dict[str, Any], specs: dict[str, Spec]) -> TensorRequest:
    """Reads the inputs of a request, in rows (`instances`) or columns (`inputs`).

    Args:
        document: the body.
        specs: of the signature's inputs.

    Raises:
        ServingError: the body does not fit the signature; says where.
    """
    given = [key for key in ("instances", "inputs") if key in document]
    if len(given) != 1:
        raise invalid(f"expected either 'instances' or 'inputs', received {' and '.join(given) or 'neither'}")
    in_rows = given == ["instances"]
    columns = (_columns_of_rows if in_rows else _columns_of)(document[given[0]], specs)
    inputs = {name: to_tensor(columns[name], spec.dtype, name) for name, spec in specs.items()}
    _check_shapes(inputs, specs)
    return TensorRequest(inputs, in_rows)


def _columns_of_rows(rows: Any, specs: dict[str, Spec]) -> dict[str, Any]:
    """Gives values by input, of rows that are objects, or values of the only input."""
    if not isinstance(rows, list) or not rows:
        raise invalid(f"instances: expected a list of at least one row, received {_show(rows)}")
    if len(specs) == 1 and not any(map(_is_object, rows)):
        return {next(iter(specs)): rows}
    for index, row in enumerate(rows):
        if not _is_object(row) or set(row) != set(specs):
            names = ", ".join(sorted(specs))
            raise invalid(f"instances[{index}]: expected an object with the keys {names}, received {_show(row)}")
    return {name: [row[name] for row in rows] for name in specs}


def _columns_of(value: Any, specs: dict[str, Spec]) -> dict[str, Any]:
    """Gives values by input, of an object, or of the value of the only input."""
    if len(specs) == 1 and not _is_object(value):
        return {next(iter(specs)): value}
    if not _is_object(value) or not set(specs) <= set(value):
        raise invalid(f"inputs: expected an object with the keys {', '.join(sorted(specs))}, received {_show(value)}")
    return dict(value)


def element_error(index: int, name: str, message: str) -> ServingError:
    """Makes the error of one row, as TensorFlow Serving words it: the page and scripts look for the row in it."""
    return invalid(
        f"Failed to process element: {index} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: {message}"
    )


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
    """Whether a JSON value is an object of named values; `{"b64": ...}` is one value."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get("b64"), str)


def to_tensor(value: Any, dtype: str, name: str = "value") -> np.ndarray:
    """Turns a nested list into an array; strings become bytes in an array of objects.

    Args:
        value: of JSON.
        dtype: of the array.
        name: of the value, for errors.

    Raises:
        ServingError: a value of another type, or a ragged list; says where.
    """
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat: list[Any] = []
    try:
        _flatten(value, tuple(shape), dtype, flat)
        array = np.empty(len(flat), object if dtype == STRING else dtype)
        array[:] = flat
    except ServingError as error:
        raise invalid(name + error.message) from error
    except OverflowError as error:
        raise invalid(f"{name}: expected {dtype}, received a larger number than it holds") from error
    return array.reshape(shape)


def _flatten(value: Any, shape: tuple[int, ...], dtype: str, flat: list[Any]) -> None:
    """Appends the scalars of a nested list; an error begins with where it is, such as `[2][0]`."""
    if not shape:
        flat.append(_to_scalar(value, dtype))
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise invalid(f": expected a list of {shape[0]}, as before it, received {_show(value)}")
    for index, inner in enumerate(value):
        try:
            _flatten(inner, shape[1:], dtype, flat)
        except ServingError as error:
            raise invalid(f"[{index}]{error.message}") from error


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
    raise invalid(f": expected {dtype}, received {_show(value)}")


def _decode_base64(value: dict[str, Any]) -> bytes:
    """Decodes base64, standard or URL-safe, with or without padding."""
    if not _is_base64(value):
        raise invalid(f': expected text or {{"b64": text}}, received {_show(value)}')
    try:
        plain = value["b64"].encode("ascii").translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n").rstrip(b"=")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise invalid(f": expected base64, received {_show(value)}") from error


def _show(value: Any) -> str:
    """Shows a value in an error: short, whatever was sent."""
    shortener = reprlib.Repr()
    shortener.maxlevel = 2
    return shortener.repr(value)[:SHOWN_CHARACTERS]


def _show_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def format_answer(outputs: dict[str, np.ndarray], in_rows: bool) -> bytes:
    """Writes the body of an answer: `predictions`, a row an instance, or `outputs`, a column an output.

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
