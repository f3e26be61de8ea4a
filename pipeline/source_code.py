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
        texts: those that look like a file's name.
    """

    digest: str
    names: tuple[str, ...]
    texts: tuple[str, ...]


@lru_cache(maxsize=512)
def parse_source(content: bytes) -> SourceFile:
    """What the content of a Python file says."""
    parts: list[str] = []
    found: list[str] = []
    imported: list[str] = []
    _write(ast.parse(content), parts, found, imported)
    return SourceFile(
        digest=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        names=(*imported, *(text for text in found if DOTTED.fullmatch(text))),
        texts=tuple(text for text in found if FILE_NAME.fullmatch(text)),
    )


def _of_bytes(content: bytes) -> SourceFile:
    """Describes a file that is no Python: it brings in no other."""
    return SourceFile(digest=hashlib.sha256(content).hexdigest(), names=(), texts=())


class SourceFinder:
    """Finds the files that modules depend on, and reads each of them once.

    Args:
        root: the folder of the packages.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: dict[Path, SourceFile] = {}
        self._behind: dict[str, list[Path]] = {}
        self._beside: dict[Path, list[Path]] = {}

    def find(self, names: tuple[str, ...]) -> list[Path]:
        """The files behind dotted names, with all that they import, run or open by a name; sorted."""
        files: dict[Path, None] = {}
        waiting, seen = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for path in self._files_of(name):
                if path not in files:
                    files[path] = None
                    waiting += self._read(path).names
                    files.update(dict.fromkeys(self._opened(path)))
        return sorted(files)

    def digest(self, path: Path) -> str:
        """Digest of what can change a result: of a Python file see above, of any other its bytes."""
        return self._read(path).digest

    def _read(self, path: Path) -> SourceFile:
        if path not in self._sources:
            content = path.read_bytes()
            self._sources[path] = parse_source(content) if path.suffix == ".py" else _of_bytes(content)
        return self._sources[path]

    def _files_of(self, name: str) -> list[Path]:
        """The module that a name is in, and the packages around the module: importing it runs them too."""
        if name not in self._behind:
            above = self._files_of(name.rpartition(".")[0]) if "." in name else []
            module = self._module(name.split("."))
            self._behind[name] = [*above, module] if module else above
        return self._behind[name]

    def _module(self, parts: list[str]) -> Path | None:
        if parts[0] not in PACKAGES:
            return None
        base = self._root.joinpath(*parts)
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)

    def _opened(self, path: Path) -> list[Path]:
        """Files beside a module that it names: data, and scripts for other processes."""
        if path not in self._beside:
            named = (path.parent / text for text in self._read(path).texts)
            self._beside[path] = [file for file in named if file.is_file()]
        return self._beside[path]


def _imports(node: ast.AST) -> Iterator[str]:
    """Dotted names that an import statement asks for; there are no relative ones here."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_text(node: Any) -> bool:
    """A docstring, or another text that stands for itself."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _write(value: Any, parts: list[str], texts: list[str], imported: list[str]) -> None:
    """Writes a tree as text, one for all Pythons: fields that are empty, or new in one and unused, are left out.

    Args:
        value: a node, a list of them, or what stands in one.
        parts: get the text.
        texts: get the texts that stand in the tree.
        imported: get the dotted names that it imports.
    """
    if isinstance(value, list):
        parts.append("[")
        for item in value:
            _write(item, parts, texts, imported)
        parts.append("]")
    elif not isinstance(value, ast.AST):
        parts.append(ascii(value))
        if isinstance(value, str):
            texts.append(value)
    elif not _is_text(value) and (kind := type(value).__name__) not in NO_RESULT:
        parts.append(kind)
        imported += _imports(value)
        for name, field in _fields(value):
            parts.append(name)
            _write(field, parts, texts, imported)
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
