"""Digest of the code behind each node, so that an edited source file re-executes what depends on it and no more.

TFX's cache key holds options and input artifacts, but not code behind a dotted path. The digest is over the bytes of a
node's module and of everything of ours that it imports, found in the sources without running them. What a node is
cached by holds the versions of the libraries too.
"""

from __future__ import annotations

import ast
import hashlib
from importlib import metadata
from pathlib import Path

from components.lines import line_name

ROOT = Path(__file__).resolve().parent.parent

# Node id: its module, and files that it uses without importing them. `tests/` holds this table against the DAG.
NODE_MODULES: dict[str, tuple[str, ...]] = {
    "ImageExampleGen": ("components.example_gen.component",),
    "StatisticsGen": (),
    "ImportSchemaGen": ("components.schema", "components/schema.pbtxt"),
    "ExampleValidator": (),
    "DataGate": ("components.data_gate.component",),
    "Transform": ("components.transform",),
    "Tuner": ("components.trainer.tune",),
    "Trainer": ("components.trainer.train",),
    "BaselineModel": ("components.baseline",),
    "Evaluator": ("components.evaluator.component",),
    "ServableCheck": (
        "components.servable_check.component",
        "components/servable_check/probe.py",
        "components/servable_check/tflite_probe.py",
    ),
    "Pusher": ("components.pusher.component",),
}


def lock_digest() -> str:
    """sha256 of the lock file that belongs to the installed TFX; empty outside of a source tree."""
    path = ROOT / "requirements" / f"tfx-{line_name(metadata.version('tfx'))}.txt"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def source_fingerprints() -> dict[str, str]:
    """A digest a node: 16 hex digits over its sources, whatever the libraries."""
    return {node: _digest(node_files(entries)) for node, entries in NODE_MODULES.items()}


def node_fingerprints(sources: dict[str, str], libraries: dict[str, str]) -> dict[str, str]:
    """A digest a node over its sources and the libraries' versions: 16 hex digits, by which its results are cached.

    Args:
        sources: as `source_fingerprints` gives them.
        libraries: {name: version}.
    """
    versions = repr(sorted(libraries.items()))
    return {node: hashlib.sha256(f"{digest} {versions}".encode()).hexdigest()[:16] for node, digest in sources.items()}


def node_files(entries: tuple[str, ...]) -> list[Path]:
    """Every file of ours that a node depends on: modules with all that they import, and the other files named."""
    files: dict[Path, None] = {}
    waiting = list(entries)
    while waiting:
        entry = waiting.pop()
        path = ROOT / entry if "/" in entry else _module_path(entry)
        if path is None or path in files:
            continue
        files[path] = None
        if path.suffix == ".py":
            waiting += _imports(path)
    return sorted(files)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _module_path(module: str) -> Path | None:
    """The file of a module of ours; None for a foreign module or a name inside a module."""
    if module.partition(".")[0] not in ("components", "pipeline"):
        return None
    base = ROOT / module.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def code_digest() -> str:
    """One digest over the sources of all nodes, whatever the libraries: says whether an image holds this code."""
    return _digest(node_files(tuple(entry for entries in NODE_MODULES.values() for entry in entries)))
