"""What CONTRIBUTING.md says of the tree is so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def draw_tree() -> list[str]:
    """A line a folder: its name, and the first sentence that its package says of itself."""
    folders = [path.parent for package in ("components", "pipeline") for path in (ROOT / package).rglob("__init__.py")]
    lines = []
    for folder in sorted(folders):
        words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
        depth = len(folder.relative_to(ROOT).parts) - 1
        lines.append(f"{'  ' * depth + folder.name + '/':<18}{words.splitlines()[0]}")
    return lines


def test_the_tree_has_a_line_a_folder():
    found = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    assert found[1].splitlines() == draw_tree(), "CONTRIBUTING.md: expected this tree:\n" + "\n".join(draw_tree())


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document):
    folders = "components|pipeline|tests|scripts|benchmarks|docs|requirements|configs"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]*)`", document.read_text("utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_module_that_a_source_names_exists():
    """Docstrings and comments name a module beside them by its file: `schedule.py`."""
    sources = [path for package in ("components", "pipeline") for path in (ROOT / package).rglob("*.py")]
    names = {path.name for path in (ROOT, *ROOT.iterdir()) if path.is_file()} | {path.name for path in sources}
    for path in sources:
        named = set(re.findall(r"`(\w+\.py)`", path.read_text("utf-8")))
        assert not named - names, path
