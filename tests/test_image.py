"""What can be told of the image without building it, and what remote workers install."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from components.process.lines import LINES

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def copied() -> list[str]:
    """Everything that the Dockerfile takes from the context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.replace("\\\n", ""), flags=re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    kept = {line[1:] for line in IGNORED if line.startswith("!")}
    assert "*" in IGNORED
    for source in copied():
        assert list(ROOT.glob(source)), source
        assert kept & {source, *map(str, Path(source).parents)}, source
    assert kept == {source if source in kept else str(Path(source).parent) for source in copied()}


def test_the_last_stage_is_clean() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d*:0$", last, flags=re.MULTILINE)
    assert 'ENTRYPOINT ["graft"]' in last
    assert "apt-get" not in last
    assert "pip install" not in last
    assert "secret" not in last
    for label in ("version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last


@pytest.mark.parametrize("line", LINES)
def test_cuda_comes_with_its_own_lock_only(line: str) -> None:
    """`--build-arg TFX=` and `ACCELERATOR=cuda` name files; `test_lines.py` holds that they agree."""
    names = {
        kind: re.findall(
            r"^([a-z0-9._-]+)(?:\[\S+\])?==",
            (ROOT / "requirements" / f"{kind}-{line}.txt").read_text("utf-8"),
            re.MULTILINE,
        )
        for kind in ("tfx", "cuda")
    }
    assert "nvidia-cudnn-cu12" in names["cuda"]
    assert not [name for name in names["tfx"] if name.startswith("nvidia-")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1.99", "cpu"), "TFX=1.99, ACCELERATOR=cpu: there is no lock requirements/tfx-1.99.txt. Present: "),
        (("1.16", "tpu"), "ACCELERATOR: expected cpu or cuda, got 'tpu'."),
    ],
)
def test_an_unknown_line_is_refused(arguments: tuple[str, str], words: str) -> None:
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "image_packages.sh"), *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert words in done.stderr


def test_no_builder_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "build_image.sh")],
        env={"PATH": "/usr/bin:/bin", "GRAFT_BUILDER": "no-such-builder", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Expected a builder that works here" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_workers_get_every_source(tmp_path: Path) -> None:
    """Beam's `--setup_file` makes an sdist and installs it on each worker."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("pipeline", "components", "configs/sample"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, "setup.py", "-q", "sdist"], cwd=tmp_path, check=True, capture_output=True)
    (archive,) = (tmp_path / "dist").glob("graft-*.tar.gz")
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    sources = {
        path.relative_to(ROOT).as_posix()
        for name in ("pipeline", "components", "configs/sample")
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= packed
    assert not [name for name in packed if name.startswith("tests")]


def test_a_wheel_holds_all_that_a_run_needs(tmp_path: Path) -> None:
    """What `pip install .`, pipx and `uv tool install` make: every file of the packages, and the sample's weights."""
    source = tmp_path / "source"
    for name in ("pipeline", "components", "configs/sample"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "setup.py", "-q", "bdist_wheel"], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("graft-*.whl")
    installed = tmp_path / "site-packages"
    shutil.unpack_archive(wheel, installed, "zip")
    files = [path.relative_to(source) for name in ("pipeline", "components") for path in (source / name).rglob("*.*")]
    assert [str(path) for path in files if not (installed / path).exists()] == []
    assert "graft = pipeline.__main__:main" in next(installed.glob("*.dist-info/entry_points.txt")).read_text("utf-8")
    program = "from pipeline.first_run.start import sample_weights; print(sample_weights())"
    done = subprocess.run([sys.executable, "-c", program], cwd=installed, capture_output=True, text=True, check=True)
    assert done.stdout == f"{installed}/pipeline/embedded/mobilenet_v2_0.35_digits.weights.h5\n"
