"""Count the mutants of a module that its tests let live.

Usage: python scripts/mutation_score.py MODULE.py TESTS... [--most 60]

Each mutant differs from the module in one operator, comparison, constant, condition or returned value, and its tests
run in a forked process that has pytest loaded already: best for modules whose tests load no TensorFlow. Mutants are
drawn in the order of a fixed seed, so that two versions of the tests are measured with the same ones.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TIMED_OUT = 9
Change = tuple[str, int, str]  # attribute, index in it where it is a list, what is done


def changes_of(node: ast.AST) -> Iterator[Change]:
    """Yield the mutations that this node can have."""
    if isinstance(node, ast.Compare):
        yield from (("ops", index, "swap") for index, found in enumerate(node.ops) if type(found) in SWAPS)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield ("op", -1, "swap")
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        yield ("value", -1, "constant")
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield ("test", -1, "negate")
    elif isinstance(node, ast.comprehension):
        yield from (("ifs", index, "negate") for index in range(len(node.ifs)))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield ("op", -1, "drop")
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ("value", -1, "none")


def _other_constant(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1  # type: ignore[operator]


def _mutated(node: ast.AST, change: Change) -> None:
    attribute, index, kind = change
    found = getattr(node, attribute)
    old = found[index] if index >= 0 else found
    if kind == "swap":
        new: object = SWAPS[type(old)]()
    elif kind == "constant":
        new = _other_constant(old)
    elif kind == "negate":
        new = ast.UnaryOp(ast.Not(), old)
    elif kind == "drop":
        new = ast.UAdd() if isinstance(old, ast.USub) else None
    else:
        new = ast.Constant(None)
    if new is None:  # `not x`: twice is not at all
        node.operand = ast.UnaryOp(ast.Not(), node.operand)  # type: ignore[attr-defined]
    elif index >= 0:
        found[index] = new
    else:
        setattr(node, attribute, new)


def _skipped(tree: ast.AST) -> set[int]:
    """Give the nodes whose value shows nowhere: docstrings, annotations, the text of an f-string."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        annotations = [getattr(node, name, None) for name in ("annotation", "returns")]
        if isinstance(node, ast.JoinedStr):
            annotations += [part for part in node.values if isinstance(part, ast.Constant)]
        for annotation in filter(None, annotations):
            skipped.update(id(inner) for inner in ast.walk(annotation))
    return skipped


def mutants_of(source: str) -> list[tuple[str, ast.Module]]:
    """List each mutant of a source as what was changed and the changed tree."""
    tree = ast.parse(source)
    skipped, made = _skipped(tree), []
    for position, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for change in changes_of(node):
            other = copy.deepcopy(tree)
            twin = next(found for place, found in enumerate(ast.walk(other)) if place == position)
            before = ast.unparse(twin) if isinstance(twin, ast.expr | ast.stmt) else ast.unparse(twin.ifs[0])  # type: ignore[attr-defined]
            _mutated(twin, change)
            after = ast.unparse(ast.fix_missing_locations(other)) and ast.unparse(twin)
            line = getattr(node, "lineno", getattr(getattr(node, "target", None), "lineno", 0))
            first, second = (text.strip().splitlines()[0][:70] for text in (before, after))
            made.append((f"line {line}: {first} -> {second}", other))
    return made


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from a changed tree."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        """Give the changed code, whatever the file and its cache hold."""
        return self.code


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module as its mutant."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        self.name, self.loader = name, Loader(name, path, code)

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Give the mutant's spec for its own name."""
        if fullname != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self.loader, origin=self.loader.path)
        spec.has_location = True
        return spec


def _run(arguments: list[str], found: tuple[str, str, ast.Module] | None, seconds: int) -> None:
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    if found:
        name, path, tree = found
        sys.meta_path.insert(0, Finder(name, path, compile(tree, path, "exec")))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(TIMED_OUT))
    signal.alarm(seconds)
    os._exit(int(pytest.main([*arguments, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"])))


def _exit_code(arguments: list[str], found: tuple[str, str, ast.Module] | None, seconds: int) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=_run, args=(arguments, found, seconds))
    child.start()
    child.join()
    return child.exitcode


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the counts, and each mutant that lived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--most", type=int, default=60, help="mutants drawn")
    parser.add_argument("--seconds", type=int, default=300, help="a mutant that takes longer counts as killed")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    import hypothesis  # noqa: F401 # what the tests load, loaded once
    import numpy  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401

    name = ".".join(given.module.with_suffix("").parts)
    made = mutants_of(given.module.read_text("utf-8"))
    drawn = random.Random(0).sample(made, min(given.most, len(made)))
    if _exit_code(given.tests, None, given.seconds) != 0:
        sys.exit("The tests fail without any mutant.")
    alone = _cpu_seconds()
    with ThreadPoolExecutor(given.jobs) as pool:
        codes = pool.map(
            lambda mutant: _exit_code(given.tests, (name, str(given.module.resolve()), mutant[1]), given.seconds), drawn
        )
        lived = []
        for (what, _), code in zip(drawn, codes, strict=True):
            if code == 0:
                lived.append(what)
    print(
        json.dumps(
            {
                "module": str(given.module),
                "possible": len(made),
                "mutants": len(drawn),
                "killed": len(drawn) - len(lived),
                "cpu_seconds_of_the_tests": round(alone, 1),
                "cpu_seconds": round(_cpu_seconds(), 1),
                "lived": lived,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
