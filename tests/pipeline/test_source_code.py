"""What of a source file counts: its code, in a form that is the same under every Python."""

import ast
import shutil
import subprocess

import pytest

from pipeline.fingerprint import ROOT, code_digest, source_fingerprints
from pipeline.source_code import parse_source

CODE = '''
"""A module."""
from __future__ import annotations
import os.path as p
from components.features import IMAGE  # why

def f(a: int = 1, *rest: str, key=None, **more) -> str:
    """Does it."""
    text = "é\\N{SNOWMAN}" 'joined' f"{a!r:>{len(rest)}} {{}} {key=} {more['x']:.2f}" "end" f'{a:}'
    async def g():
        async with a as b, rest:
            yield [x async for x in b if x]
    match a:
        case {"k": [1, *_], **others} | None:
            return b"\\x00" + others
        case str(y) if y:
            "a text on its own"
    return lambda x, /, y: (x ** -1.5e-7, 1j, ..., not y, text)

class C(Base, metaclass=M):
    """Is it."""
    limit: Fraction = Field(0.5, ge=0, description="Of " "all.")
    @property
    def v(self) -> int: return 10_000 if self else 0x10
'''
DIGEST = "1529e3f3efebd6073d9ef7eaa691f8a6b754daa9666597dd0633e218c761a413"


def digest(text):
    return parse_source(text.encode()).digest


def test_the_form_is_the_same_under_every_python():
    """The suite runs on Python 3.10 and on 3.13: the number is one."""
    assert digest(CODE) == DIGEST


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_other_pythons_of_this_machine_agree(version):
    python = shutil.which(f"python{version}")
    script = "from pipeline.fingerprint import *; print(code_digest(), sorted(source_fingerprints().items()))"
    command = [str(python), "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) if python else None
    if done is None or done.returncode:
        pytest.skip(f"no python{version} runs here")
    assert done.stdout.strip() == f"{code_digest()} {sorted(source_fingerprints().items())}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""A module."""\n', ""),
        ('"""Does it."""', '"""Does it, in\n    other words."""'),
        ('"""Is it."""', "# is it"),
        ("# why", ""),
        ('"a text on its own"', '"another"'),
        ('description="Of " "all."', 'description="Of some."'),
        (', description="Of " "all."', ""),
        ("*rest: str, key=None", "*rest: str,\n      key = (None)"),
        ("10_000", "10000"),
        ("0x10", "16"),
        ("'joined'", '"joined"'),
        ('{"k":', '{u"k":'),
    ],
)
def test_words_and_layout_count_nothing(before, after):
    assert before in CODE
    assert digest(CODE.replace(before, after)) == digest(CODE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.5, ge", "0.6, ge"),
        ("ge=0", "gt=0"),
        ("limit:", "bound:"),
        ("'joined'", "'Joined'"),
        ("{a!r:>", "{a!s:>"),
        (":.2f", ":.3f"),
        ("{{}}", "{{ }}"),
        ("x, /, y", "x, y"),
        ("-1.5e-7", "-1.5e-6"),
        ("async for x", "for x"),
        ("return 10_000", "yield 10_000"),
        ("as p", "as q"),
        ("Field(", "Other("),
    ],
)
def test_code_counts(before, after):
    assert before in CODE
    assert digest(CODE.replace(before, after)) != digest(CODE)


def test_a_description_of_anything_but_an_option_counts():
    assert digest("make(description='a')") != digest("make(description='b')")


def test_every_file_of_ours_may_be_reworded_and_formatted():
    class Rewording(ast.NodeTransformer):
        def visit_Expr(self, node):
            is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            return ast.parse("'Other words.'").body[0] if is_text else node

    files = [path for package in ("components", "pipeline") for path in (ROOT / package).rglob("*.py")]
    for path in files:
        content = path.read_bytes()
        reworded = ast.unparse(Rewording().visit(ast.parse(content))).encode()
        assert reworded != content
        assert parse_source(reworded).digest == parse_source(content).digest, path
