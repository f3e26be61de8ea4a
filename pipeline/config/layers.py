"""Configuration files as they are written: strict YAML, and one file on another by `extends:`.

YAML reads `yes`, `12` and `2024-01-01` as something else than text, and takes the last of two equal keys. Files are
therefore kept as YAML's nodes beside their values: they know the words and the lines that an error is about.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from components.contract.secrets import refuse_secrets
from components.errors import InputError
from pipeline.config.paths import fill_paths, full_path

EXTENDS = "extends"
READ_AS = {"bool": "a yes or no", "int": "a number", "float": "a number", "timestamp": "a date", "null": "nothing"}
SHOWN = 8  # elements of a list in an error
Location = tuple[Any, ...]  # keys and indices, from the outside in


@dataclass(frozen=True)
class Layer:
    """One file, or one `--set`, that a configuration is made of.

    Attributes:
        origin: the file's path, or the option.
        node: as it is written; None: nothing is.
        within: where in the configuration it is; of a file, nowhere deeper.
        content: of a file: its values.
    """

    origin: str
    node: yaml.Node | None
    within: Location = ()
    content: Any = None


def parse(text: str, origin: str) -> tuple[yaml.Node | None, Any]:
    """YAML as nodes and as values.

    Raises:
        InputError: a key is there twice, or something contains itself.
        yaml.YAMLError: it is no YAML.
        RecursionError: it is nested too deeply.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _refuse_unclear(node, origin, (), set())
        return node, loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_unclear(node: yaml.Node, origin: str, above: tuple[int, ...], done: set[int]) -> None:
    """Refuses keys that are given twice, and nodes that contain themselves."""
    if id(node) in above:
        raise InputError(
            f"{origin}: what begins in line {node.start_mark.line + 1} contains itself.\nWrite it without the alias."
        )
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        _refuse_twice(node, origin)
    for child in _children(node):
        _refuse_unclear(child, origin, above, done)
    done.add(id(node))


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value:
        yield from child if isinstance(child, tuple) else (child,)


def _refuse_twice(node: yaml.MappingNode, origin: str) -> None:
    first: dict[Any, yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        before = first.setdefault((key.tag, key.value), key)
        if before is not key:
            lines = [mark.start_mark.line + 1 for mark in (before, key)]
            where = f"in line {lines[0]} and in line {lines[1]}" if lines[0] != lines[1] else f"in line {lines[0]}"
            raise InputError(
                f"{origin}: '{key.value}' is given twice, {where}.\nKeep one, with all that belongs to it."
            )


def read_layers(path: str, model: type[BaseModel]) -> list[Layer]:
    """A configuration file, after those that it extends: what comes later wins. Paths in them are in full.

    Args:
        path: the file.
        model: of all options: says which are paths.

    Raises:
        InputError: a file is not there or no configuration, files extend each other in a circle, or a variable in a
            path is not set.
    """
    layers, chain = list[Layer](), list[str]()
    while path:
        chain.append(path)
        if os.path.realpath(path) in map(os.path.realpath, chain[:-1]):
            raise InputError(f"extends: expected a chain of files that ends, found {' -> '.join(chain)}.\nBreak it.")
        layer = _read_file(path, chain)
        parent = layer.content.pop(EXTENDS, None)
        fill_paths(layer.content, model, path)
        layers.insert(0, layer)
        path = _parent(parent, layer) if parent is not None else ""
    return layers


def _parent(name: Any, layer: Layer) -> str:
    if not isinstance(name, str) or not name:
        raise InputError(f"{layer.origin}: extends: expected the path of one file, got {name!r}.")
    return full_path(name, EXTENDS, Path(layer.origin).parent)


def _read_file(path: str, chain: list[str]) -> Layer:
    text = ""
    try:
        text = Path(path).read_text("utf-8")
        node, content = parse(text, path)
    except OSError as error:
        by = f", which {chain[-2]} extends" if len(chain) > 1 else ""
        raise InputError(
            f"Expected a configuration file at {path}{by}: {error.strerror}.\nSee configs/ for examples."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        refuse_secrets(text, path)  # the error shows some of it
        raise InputError(f"{path} is no YAML file: {' '.join(str(error).split())}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected sections such as `data:` and `trainer:`, got {type(content).__name__}.")
    return Layer(path, node, content=content)


def merge(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Both: mappings are merged, all else of `above` wins; an empty section there changes nothing."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and value is None:
            continue
        merged[key] = merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def written_sections(content: dict[Any, Any], model: type[BaseModel]) -> dict[Any, Any]:
    """The same without sections in which nothing is written, such as one whose lines are all comments."""
    kept = {}
    for key, value in content.items():
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            kept[key] = value
        elif value is not None:
            kept[key] = written_sections(value, inner) if isinstance(value, dict) else value
    return kept


@dataclass(frozen=True)
class Found:
    """Where an error's value is written.

    Attributes:
        layer: the file, or the `--set`.
        key: of the value; an element of a list has none: the value.
        value: what is wrong.
        holder: the list or mapping that it is in.
    """

    layer: Layer
    key: yaml.Node
    value: yaml.Node
    holder: yaml.Node

    @property
    def is_element(self) -> bool:
        """Whether it is in a list."""
        return isinstance(self.holder, yaml.SequenceNode)

    @property
    def place(self) -> str:
        """The line, or the option; of an element of a list, that of the list."""
        if self.layer.within:
            return self.layer.origin
        node = self.holder if self.is_element else self.key
        return f"line {node.start_mark.line + 1} of {self.layer.origin}"

    def name(self, location: Location) -> str:
        """The dotted name of what is at a location; of an element of a list, that of the list."""
        parts = location[:-1] if self.is_element else (*location[:-1], getattr(self.key, "value", location[-1]))
        return ".".join(map(str, parts if self.key is not self.layer.node else location))

    def explain_text(self, is_key: bool) -> str:
        """What to do where text is expected and YAML reads something else; empty: that is not the reason."""
        nodes = self.holder.value if self.is_element else [self.key if is_key else self.value]
        others = [node for node in nodes if _is_read_otherwise(node)]
        if not others:
            return ""
        words = ", ".join(dict.fromkeys(node.value for node in others[:SHOWN]))
        kinds = " or ".join(dict.fromkeys(READ_AS[node.tag.rpartition(":")[2]] for node in others))
        quoted = [json.dumps(str(node.value), ensure_ascii=False) for node in nodes[:SHOWN]]
        fix = f"[{', '.join(quoted + ['...'] * (len(nodes) > SHOWN))}]" if self.is_element else quoted[0]
        if self.layer.within and self.layer.node in (self.holder, self.value):
            fix = f"--set '{'.'.join(self.layer.within)}={fix}'"
        return f"expected text, and YAML reads {words} as {kinds}; put it in quotes: {fix}"


def find(layers: Sequence[Layer], location: Location) -> Found | None:
    """The layer that an error's place comes from, and what is written there.

    Args:
        layers: what comes later wins.
        location: of pydantic: it may go on behind what is written, or name types between.
    """
    for length in range(len(location), 0, -1):
        for layer in reversed(layers):
            if found := _descend(layer, location[:length]):
                return found
    return None


def _descend(layer: Layer, location: Location) -> Found | None:
    if layer.node is None or location[: len(layer.within)] != layer.within:
        return None
    key = holder = value = layer.node
    for part in location[len(layer.within) :]:
        pairs = [(name, item) for name, item in _items(value) if part in _names(name)]
        if not pairs:
            return None
        holder, (name, value) = value, pairs[-1]  # a merge (`<<`) stands before what wins over it
        key = name if isinstance(name, yaml.Node) else value
    return Found(layer, key, value, holder)


def _items(node: yaml.Node) -> Iterator[tuple[Any, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)


def _names(key: Any) -> tuple[Any, ...]:
    """What pydantic may call a key: as it is written, or as YAML reads it."""
    if not isinstance(key, yaml.Node):
        return (key,)
    if not _is_read_otherwise(key):
        return (key.value,)
    read = parse(key.value, "")[1]
    return key.value, read, str(read)


def _is_read_otherwise(node: yaml.Node) -> bool:
    """Whether YAML takes a word without quotes for something else than text."""
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.value != ""
    return is_plain and node.tag.rpartition(":")[2] in READ_AS
