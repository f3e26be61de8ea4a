"""JSON documents that label images, as rows: a row in `DOCUMENTS` for each kind.

- COCO: https://cocodataset.org/#format-data
- Label Studio: https://labelstud.io/guide/export
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from components.images.formats import IMAGE_SUFFIXES

Rows = list[dict[str, Any]]
DEPTH = 4  # levels of nested objects whose keys become columns


class NotUnderstood(ValueError):
    """A JSON text is none of `DOCUMENTS`; `are_lines`: it is an object a line."""

    def __init__(self, found: str, are_lines: bool = False) -> None:
        super().__init__(found)
        self.are_lines = are_lines


class Document(NamedTuple):
    """A kind of document: whether one is of it, its rows, and what it looks like; for people."""

    fits: Callable[[Any], bool]
    read: Callable[[Any], Rows]
    example: str


def read_document(text: str) -> Rows:
    """Reads the rows of a JSON document: {column: value}, a list where an image has several classes.

    Raises:
        NotUnderstood: it is none.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise NotUnderstood("it is nested too deeply") from error
    except ValueError as error:
        raise NotUnderstood(
            f"it is no JSON: {error}", text.lstrip()[:1] == "{" and "Extra data" in str(error)
        ) from error
    for kind in DOCUMENTS.values():
        if kind.fits(document):
            try:
                return kind.read(document)
            except (KeyError, TypeError, AttributeError) as error:
                raise NotUnderstood(f"{type(error).__name__} in it: {error}") from error
    raise NotUnderstood("found neither " + " nor ".join(kind.example for kind in DOCUMENTS.values()))


def flatten(record: dict[str, Any], prefix: str = "", depth: int = DEPTH) -> dict[str, Any]:
    """Joins the keys of inner objects by dots: `{"a": {"b": 1}}` has the column `a.b`."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict) and depth:
            flat |= flatten(value, f"{prefix}{key}.", depth - 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations", "categories")
    )


def _read_coco(document: Any) -> Rows:
    names = {category["id"]: category["name"] for category in document["categories"]}
    found: defaultdict[Any, set[str]] = defaultdict(set)
    for annotation in document["annotations"]:
        found[annotation["image_id"]].add(str(names[annotation["category_id"]]))
    return [{"file_name": image["file_name"], "label": sorted(found[image["id"]])} for image in document["images"]]


def _is_label_studio(document: Any) -> bool:
    return (
        _is_list_of_objects(document)
        and "data" in document[0]
        and bool({"annotations", "completions"} & set(document[0]))
    )


def _read_label_studio(document: Any) -> Rows:
    return [{"image": _image_of(task["data"]), "choice": sorted(_choices(task))} for task in document]


def _image_of(data: dict[str, Any]) -> str:
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    paths = [text for text in texts.values() if "." + text.rpartition(".")[2].lower() in IMAGE_SUFFIXES]
    return texts.get("image") or (paths or list(texts.values()) or [""])[0]


def _choices(task: dict[str, Any]) -> set[str]:
    """The classes that annotators chose; annotations that were given up do not count."""
    annotations = task.get("annotations") or task.get("completions") or []
    results = (result for one in annotations if not one.get("was_cancelled") for result in one["result"])
    return {str(choice) for result in results for choice in result.get("value", {}).get("choices", ())}


def _is_list_of_objects(document: Any) -> bool:
    return isinstance(document, list) and bool(document) and all(isinstance(row, dict) for row in document)


def _is_mapping(document: Any) -> bool:
    """Paths and their classes: at least one key is named like an image."""
    return (
        isinstance(document, dict)
        and all(isinstance(value, str | int) for value in document.values())
        and any("." + key.rpartition(".")[2].lower() in IMAGE_SUFFIXES for key in document)
    )


DOCUMENTS: dict[str, Document] = {
    "coco": Document(_is_coco, _read_coco, "COCO's images, annotations and categories"),
    "label_studio": Document(_is_label_studio, _read_label_studio, "Label Studio's tasks"),
    "objects": Document(
        _is_list_of_objects, lambda rows: [flatten(row) for row in rows], 'a list of {"path": "a.jpg", "label": "cats"}'
    ),
    "mapping": Document(
        _is_mapping,
        lambda document: [{"path": path, "label": label} for path, label in document.items()],
        '{"a.jpg": "cats"}',
    ),
}
