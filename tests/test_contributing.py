"""What CONTRIBUTING.md says of the tree is so."""

import ast
import re
from pathlib import Path

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


def test_every_path_that_is_named_exists():
    named = set(re.findall(r"`((?:components|pipeline|tests|scripts|benchmarks|docs|requirements)/[\w./-]*)`", TEXT))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
