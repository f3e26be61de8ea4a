"""Which TFX line and which Python set-up takes, on machines that the tests describe to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = "bash cat chmod cut dirname env flock grep head ls mkdir mktemp mv rm sed sha256sum sort stat tail tar touch tr"
# Answers what set-up asks of a Python: its version, and whether it is complete.
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *Python.h*) [ {complete} = True ] && echo "$0" ;;
    *) exit 1 ;;
esac
"""
# What uv adapts to the place of an installation.
SYSCONFIG = """# system configuration generated and used by the sysconfig module
build_time_vars = {}
"""
Call = Callable[..., subprocess.CompletedProcess[str]]


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def write_python(path: Path, version: str, complete: bool = True) -> None:
    write_script(path, PYTHON.format(version=version, complete=complete))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What set-up reads of a checkout."""
    folder = tmp_path / "checkout"
    for name in ("scripts", "requirements", "pipeline"):
        (folder / name).mkdir(parents=True)
    for name in (
        "scripts/setup_env.sh",
        "scripts/other_line.sh",
        "requirements/uv.txt",
        "setup.py",
        "pipeline/__init__.py",
    ):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def choose(tree: Path, tmp_path: Path) -> Call:
    """Asks for the line on a machine with nothing but basic tools and the Pythons that a test put into `bin`."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS.split():
        (tools / name).symlink_to(str(shutil.which(name)))

    def call(glibc: str = "2.41", system: str = "Linux x86_64", command: str = "setup_env.sh line", **variables: str):
        kernel, machine = system.split()
        write_script(
            tools / "uname", f"#!/bin/sh\ncase $1 in -s) echo {kernel};; -m) echo {machine};; *) echo {system};; esac\n"
        )
        write_script(tools / "getconf", f"#!/bin/sh\necho glibc {glibc}\n" if glibc else "#!/bin/sh\nexit 1\n")
        path = {"PATH": f"{tmp_path / 'bin'}:{tools}", "HOME": str(tmp_path / "home"), "PWD": str(tree)}
        script, *arguments = command.split()
        return subprocess.run(
            ["bash", f"scripts/{script}", *arguments],
            cwd=tree,
            env={**path, **variables},
            capture_output=True,
            text=True,
        )

    return call


def chosen(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """The line, and the name of its Python."""
    assert done.returncode == 0, done.stderr
    line, python = done.stdout.split()
    return line, Path(python).name


NEWEST = "the newest line, which this machine can load."
OLD_GLIBC = "TFX 1.21 needs glibc 2.39 or newer, this machine has 2.36."


@pytest.mark.parametrize(
    ("glibc", "pythons", "variables", "line", "python", "why"),
    [
        ("2.41", ["3.13"], {}, "1.21", "3.13", NEWEST),
        ("2.39", ["3.10", "3.11", "3.12"], {}, "1.21", "3.12", NEWEST),
        ("2.100", ["3.11"], {}, "1.21", "3.11", NEWEST),
        ("2.36", ["3.10", "3.13"], {}, "1.16", "3.10", OLD_GLIBC),
        ("2.38", ["3.10"], {}, "1.16", "3.10", OLD_GLIBC.replace("2.36", "2.38")),
        ("2.41", ["3.10", "3.13"], {"GRAFT_TFX": "1.16"}, "1.16", "3.10", "GRAFT_TFX asks for it."),
        ("2.41", ["3.10", "3.13"], {"GRAFT_TFX": "1.21"}, "1.21", "3.13", "GRAFT_TFX asks for it."),
    ],
)
def test_the_newest_line_that_the_machine_can_load_is_taken(
    choose: Call,
    tmp_path: Path,
    glibc: str,
    pythons: list[str],
    variables: dict[str, str],
    line: str,
    python: str,
    why: str,
) -> None:
    for version in pythons:
        write_python(tmp_path / "bin" / f"python{version}", version)
    done = choose(glibc, **variables)
    assert chosen(done) == (line, f"python{python}")
    assert done.stderr == f"TFX {line} on Python {python}: {why}\n"


@pytest.mark.parametrize("place", ["bin/python3", "home/.pyenv/versions/3.11.9/bin/python"])
@pytest.mark.parametrize("uv", ["home/.local/share/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python"])
def test_pythons_of_path_pyenv_and_uv_are_found(choose: Call, tmp_path: Path, place: str, uv: str) -> None:
    write_python(tmp_path / place, "3.11")
    assert chosen(choose())[0] == "1.21"
    write_python(tmp_path / uv, "3.12")
    assert choose().stdout.split()[1] == str(tmp_path / uv)


def test_a_python_may_be_named_and_decides_the_line(choose: Call, tmp_path: Path) -> None:
    write_python(tmp_path / "bin" / "python3.13", "3.13")
    write_python(tmp_path / "own" / "python", "3.10")
    done = choose(GRAFT_PYTHON=str(tmp_path / "own" / "python"))
    assert chosen(done) == ("1.16", "python")
    assert f"the line of GRAFT_PYTHON={tmp_path}/own/python." in done.stderr


@pytest.mark.parametrize(
    ("glibc", "system", "variables", "words"),
    [
        ("2.41", "Linux x86_64", {"GRAFT_TFX": "1.20"}, ["GRAFT_TFX: expected one of 1.21, 1.16, received '1.20'."]),
        (
            "2.36",
            "Linux x86_64",
            {"GRAFT_TFX": "1.21"},
            ["Graft cannot be set up here with GRAFT_TFX=1.21.", f"Found: {OLD_GLIBC}", "docs/image.md"],
        ),
        ("2.41", "Linux aarch64", {}, ["Found: TFX 1.21 is not published for Linux on aarch64.", "linux/amd64"]),
        ("", "Linux x86_64", {}, ["Found: TFX 1.21 needs glibc, which this machine does not have."]),
        ("", "Darwin arm64", {"GRAFT_TFX": "1.16"}, ["Found: TFX 1.16 is not published for Darwin on arm64."]),
        ("2.41", "Linux x86_64", {"GRAFT_PYTHON": "/no/python"}, ["GRAFT_PYTHON=/no/python is no Python that runs."]),
    ],
)
def test_what_cannot_be_says_what_was_expected_and_found(
    choose: Call, tmp_path: Path, glibc: str, system: str, variables: dict[str, str], words: list[str]
) -> None:
    for version in ("3.10", "3.13"):
        write_python(tmp_path / "bin" / f"python{version}", version)
    done = choose(glibc, system, **variables)
    assert done.returncode == 2
    assert not done.stdout
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("version", "complete", "variables", "words"),
    [
        ("3.9", True, {}, "is Python 3.9, which TFX 1.21 or 1.16 does not run on."),
        ("3.13", True, {"GRAFT_TFX": "1.16"}, "is Python 3.13, which TFX 1.16 does not run on."),
        ("3.13", False, {}, "is not complete: expected the modules bz2, ctypes, sqlite3, ssl and zlib, and Python.h."),
    ],
)
def test_a_named_python_that_does_not_fit_is_refused_with_advice(
    choose: Call, tmp_path: Path, version: str, complete: bool, variables: dict[str, str], words: str
) -> None:
    python = tmp_path / "own" / "python"
    write_python(python, version, complete)
    done = choose(GRAFT_PYTHON=str(python), **variables)
    assert done.returncode == 2
    assert f"GRAFT_PYTHON={python} {words}" in done.stderr
    assert "apt install python3-dev" in done.stderr


# --- Fetching a Python -----------------------------------------------------------------------------------------------


@pytest.fixture
def uv(tree: Path) -> Path:
    """The real uv, as set-up leaves it."""
    found = subprocess.run(["bash", "scripts/setup_env.sh", "uv"], cwd=ROOT, capture_output=True, text=True, check=True)
    copy = tree / ".tools" / "uv"
    copy.parent.mkdir()
    shutil.copy(found.stdout.strip(), copy)
    return copy


@pytest.fixture
def mirror(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """A list of Pythons to download as uv reads one, with a single archive on this disk; the setting that names it."""

    def publish(version: str) -> dict[str, str]:
        minor = version.rpartition(".")[0]
        write_python(tmp_path / "made" / "python" / "bin" / f"python{minor}", minor)
        library = tmp_path / "made" / "python" / "lib" / f"python{minor}"
        library.mkdir(parents=True)
        (library / "_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(SYSCONFIG)
        archive = tmp_path / "python.tar.gz"
        for name in ("python", "python3"):
            (tmp_path / "made" / "python" / "bin" / name).symlink_to(f"python{minor}")
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "made" / "python", "python")
        _, second, third = (int(part) for part in version.split("."))
        entry = {
            "name": "cpython",
            "arch": {"family": "x86_64", "variant": None},
            "os": "linux",
            "libc": "gnu",
            "major": 3,
            "minor": second,
            "patch": third,
            "prerelease": "",
            "url": archive.as_uri(),
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "variant": None,
            "build": None,
        }
        listing = tmp_path / "downloads.json"
        listing.write_text(json.dumps({f"cpython-{version}-linux-x86_64-gnu": entry}))
        return {"UV_PYTHON_DOWNLOADS_JSON_URL": str(listing)}

    return publish


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the published Python is one for Linux")


@needs_linux
@pytest.mark.parametrize(
    ("glibc", "line", "version", "present"), [("2.36", "1.16", "3.10.99", "3.11"), ("2.41", "1.21", "3.13.99", "3.14")]
)
def test_a_missing_python_is_fetched_and_found_again(
    choose: Call,
    uv: Path,
    mirror: Callable[[str], dict[str, str]],
    tmp_path: Path,
    glibc: str,
    line: str,
    version: str,
    present: str,
) -> None:
    write_python(tmp_path / "bin" / "python3", present)
    source = mirror(version)
    done = choose(glibc, **source)
    assert chosen(done)[0] == line
    python = Path(done.stdout.split()[1])
    assert python.is_relative_to(uv.parent / "python")
    minor = version.rpartition(".")[0]
    assert f"found: fetching Python {minor} with uv into .tools/python..." in done.stderr
    assert not (tmp_path / "home" / ".local" / "bin").exists(), "links there would outlive the checkout"
    again = choose(glibc)  # nowhere to fetch from, and nothing to fetch
    assert chosen(again)[0] == line
    assert "fetching" not in again.stderr


@needs_linux
def test_a_python_without_headers_is_not_taken(
    choose: Call, uv: Path, mirror: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    write_python(tmp_path / "bin" / "python3.13", "3.13", complete=False)
    done = choose(**mirror("3.13.99"))
    assert ".tools/python" in done.stdout


def unreachable(tmp_path: Path) -> dict[str, str]:
    return {"UV_PYTHON_DOWNLOADS_JSON_URL": str(tmp_path / "absent.json"), "UV_HTTP_RETRIES": "0"}


@needs_linux
def test_where_none_can_be_fetched_the_older_line_s_python_will_do(choose: Call, uv: Path, tmp_path: Path) -> None:
    write_python(tmp_path / "bin" / "python3.10", "3.10")
    done = choose(**unreachable(tmp_path))
    assert chosen(done) == ("1.16", "python3.10")
    assert "  It could not be fetched: " in done.stderr
    assert done.stderr.endswith(
        "TFX 1.16 on Python 3.10: no Python 3.13, 3.12 or 3.11 for TFX 1.21 was found "
        "(looked in PATH, pyenv and uv) or could be fetched.\n"
    )


@needs_linux
@pytest.mark.parametrize(("glibc", "python"), [("2.36", "3.10"), ("2.41", "3.13")])
def test_where_there_is_no_python_at_all_there_is_advice(
    choose: Call, uv: Path, tmp_path: Path, glibc: str, python: str
) -> None:
    done = choose(glibc, **unreachable(tmp_path))
    assert done.returncode == 2
    assert "No usable Python for Graft found." in done.stderr
    for advice in (
        "apt install python3-dev",
        f"pyenv install {python}",
        f"uv python install {python}",
        "GRAFT_PYTHON=",
    ):
        assert advice in done.stderr


@needs_linux
@pytest.mark.parametrize("tool", ["curl", "wget"])
def test_where_no_python_has_pip_uv_comes_by_its_own_installer(
    choose: Call, uv: Path, tmp_path: Path, tool: str
) -> None:
    """Both tools print what they download; the installer puts uv where UV_UNMANAGED_INSTALL says."""
    shutil.move(uv, tmp_path / "uv")
    installer = f'cp {tmp_path}/uv "$UV_UNMANAGED_INSTALL/uv"'
    (tmp_path / "tools" / "cp").symlink_to(str(shutil.which("cp")))
    (tmp_path / "tools" / "sh").symlink_to(str(shutil.which("sh")))
    write_script(
        tmp_path / "bin" / tool,
        f"#!/bin/sh\nfor last; do :; done\necho \"$last\" > {tmp_path}/asked\necho '{installer}'\n",
    )
    done = choose(command="setup_env.sh uv")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).samefile(uv)
    version = subprocess.run([str(uv), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert (tmp_path / "asked").read_text().strip() == f"https://astral.sh/uv/{version}/install.sh"
    assert not list(uv.parent.glob("fetch.*"))


@needs_linux
def test_where_uv_cannot_be_had_it_says_what_would_do(choose: Call, tree: Path) -> None:
    done = choose(command="setup_env.sh uv")
    assert done.returncode == 2
    assert "uv is not installed and could not be fetched, with pip or by its own installer" in done.stderr
    assert "apt install python3-pip" in done.stderr


# --- The other line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glibc", "user", "present", "why"),
    [
        ("2.41", 0, [], "no Python 3.10 for TFX 1.16 was found (looked in PATH, pyenv and uv) or could be fetched."),
        (
            "2.36",
            0,
            [],
            "TFX 1.21 needs a newer glibc than this machine has; a Debian 13 tree to run it in needs root ",
        ),
        (
            "2.36",
            1000,
            ["debootstrap"],
            "a Debian 13 tree to run it in needs root and debootstrap (Debian: apt install",
        ),
        ("2.36", 0, ["debootstrap"], "a Debian 13 tree needs mount namespaces, which are not allowed here."),
    ],
)
@needs_linux
def test_the_other_line_is_never_skipped_silently(
    choose: Call, uv: Path, tmp_path: Path, glibc: str, user: int, present: list[str], why: str
) -> None:
    write_python(tmp_path / "bin" / "python3", {"2.41": "3.13", "2.36": "3.10"}[glibc])
    for name in (*present, "unshare"):
        write_script(tmp_path / "bin" / name, "#!/bin/sh\nexit 1\n")
    write_script(tmp_path / "bin" / "id", f"#!/bin/sh\necho {user}\n")
    done = choose(glibc, command="other_line.sh", **unreachable(tmp_path))
    assert done.returncode == 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith("skipped: the tests of the other TFX line. ")
    assert why in last
