"""What of a source file can change a result, and what else of ours the file brings in; read without running it.

Layout, comments, docstrings and the descriptions of options change nothing. What is left is written in a form of our
own: that of `ast.dump` or `ast.unparse` differs from one Python to the next, and digests are compared across them.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = ("components", "pipeline")
DOTTED = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")  # a text that names something of ours
FILE_NAME = re.compile(r"[\w-]+(/[\w-]+)*\.\w+")
OPTION = "Field"  # pydantic's; what describes an option is its docstring
NO_RESULT = {"Load", "Store", "Del"}  # follow from the place


@dataclass(frozen=True)
class SourceFile:
    """A Python file.

    Attributes:
        digest: over what can change a result.
        names: what it imports, in dotted form, the imported name last; and texts in the same form.
        exports: of a file that only gives names of other modules: {name: where it is from}; None: it does more.
        texts: those that look like a file's name.
    """

    digest: str
    names: tuple[str, ...]
    exports: dict[str, str] | None
    texts: tuple[str, ...]


@lru_cache(maxsize=512)
def parse_source(content: bytes) -> SourceFile:
    """What the content of a Python file says."""
    tree = ast.parse(content)
    parts: list[str] = []
    _write(tree, parts)
    found = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    imported = {alias: name for node in ast.walk(tree) for alias, name in _imports(node)}
    return SourceFile(
        digest=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        names=(*imported.values(), *(text for text in found if DOTTED.fullmatch(text))),
        exports=imported if all(_only_gives_names(statement) for statement in tree.body) else None,
        texts=tuple(text for text in found if FILE_NAME.fullmatch(text)),
    )


def digest_file(path: Path) -> str:
    """Digest of what can change a result: of a Python file see above, of any other its bytes."""
    content = path.read_bytes()
    return parse_source(content).digest if path.suffix == ".py" else hashlib.sha256(content).hexdigest()


class SourceFinder:
    """Finds the files that modules depend on.

    Args:
        root: the folder of the packages.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, names: tuple[str, ...]) -> list[Path]:
        """The files behind dotted names, with all that they import, run or open by a name; sorted.

        A package that only gives the names of other modules stands for those that are asked for.
        """
        files: dict[Path, None] = {}
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for path in self._files_of(name, waiting):
                if path not in files:
                    files[path] = None
                    waiting += self._brought_in(path)
                    files.update(dict.fromkeys(self._opened(path)))
        return sorted(files)

    def _files_of(self, name: str, waiting: list[str]) -> Iterator[Path]:
        """The module that a name is in and the packages around it; what only gives names is followed instead."""
        parts = name.split(".")
        modules = [(path, parts[n:]) for n in range(1, len(parts) + 1) if (path := self._module(parts[:n]))]
        for number, (path, rest) in enumerate(modules, 1):
            exports = parse_source(path.read_bytes()).exports if path.name == "__init__.py" else None
            if exports is None:
                yield path
            elif number == len(modules):
                waiting += [exports[rest[0]]] if rest and rest[0] in exports else exports.values()

    def _module(self, parts: list[str]) -> Path | None:
        if parts[0] not in PACKAGES:
            return None
        base = self._root.joinpath(*parts)
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)

    def _brought_in(self, path: Path) -> list[str]:
        return list(parse_source(path.read_bytes()).names) if path.suffix == ".py" else []

    def _opened(self, path: Path) -> Iterator[Path]:
        """Files beside a module that it names: data, and scripts for other processes."""
        if path.suffix == ".py":
            named = (path.parent / text for text in parse_source(path.read_bytes()).texts)
            yield from (file for file in named if file.is_file())


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """{name in the file: dotted name} of an import statement; there are no relative ones here."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _only_gives_names(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets] == ["__all__"]
    return isinstance(statement, ast.ImportFrom) or _is_text(statement)


def _is_text(node: Any) -> bool:
    """A docstring, or another text that stands for itself."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _write(value: Any, parts: list[str]) -> None:
    """The tree as text, one for all Pythons: fields that are empty, or new in one of them and unused, are left out."""
    if isinstance(value, list):
        parts.append("[")
        for item in value:
            _write(item, parts)
        parts.append("]")
    elif not isinstance(value, ast.AST):
        parts.append(ascii(value))
    elif not _is_text(value) and (kind := type(value).__name__) not in NO_RESULT:
        parts.append(kind)
        for name, field in _fields(value):
            parts.append(name)
            _write(field, parts)
        parts.append(".")


def _fields(node: Any) -> Iterator[tuple[str, Any]]:
    for name in node._fields:
        field = getattr(node, name, None)
        if isinstance(node, ast.JoinedStr):
            field = _joined(field)
        elif name == "keywords" and getattr(getattr(node, "func", None), "id", "") == OPTION:
            field = [keyword for keyword in node.keywords if keyword.arg != "description"]
        if field is not None and field != [] and name != "kind":
            yield name, field


def _joined(pieces: Any) -> list[Any]:
    """The pieces of an f-string, texts that follow one another as one: Pythons cut them at different places."""
    joined: list[Any] = []
    for piece in pieces:
        if not isinstance(piece, ast.Constant):
            joined.append(piece)
        elif joined and isinstance(joined[-1], str):
            joined[-1] += str(piece.value)
        elif piece.value:
            joined.append(piece.value)
    return joined
