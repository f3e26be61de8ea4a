"""Revisions of git, and what must not come of asking for them."""

import os
import subprocess

import pytest

from components.process import git


def call(folder, *arguments):
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    environment = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit of one file."""
    folder = tmp_path / "repository"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "a.yaml").write_text("a: 1\n")
    call(folder, "init", "-q")
    call(folder, "add", ".")
    call(folder, "commit", "-q", "-m", "one")
    return folder


def test_a_commit_and_whether_files_differ_from_it(repository):
    head = call(repository, "rev-parse", "HEAD")
    assert git.read_revision(repository) == {"revision": head, "dirty": False}
    (repository / "new.txt").touch()  # not tracked: data and runs lie beside configurations
    assert git.read_revision(repository / "configs") == {"revision": head, "dirty": False}
    (repository / "configs" / "a.yaml").write_text("a: 2\n")
    assert git.read_revision(repository) == {"revision": head, "dirty": True}
    assert git.read_revision(repository, ("other",)) == {"revision": head, "dirty": False}


def test_no_repository_no_commit_and_no_folder_are_nothing(tmp_path):
    assert git.read_revision(tmp_path) is None
    call(tmp_path, "init", "-q")
    assert git.read_revision(tmp_path) is None
    assert git.read_revision(tmp_path / "none") is None


def test_without_git_nothing_is_known_and_nothing_fails(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    monkeypatch.chdir(repository)
    assert git.find_revisions() == {"graft": None, "directory": None}


def test_the_present_directory_may_be_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert git.find_revisions()["directory"] is None


def test_a_package_that_lies_ignored_in_a_repository_is_not_of_it(repository, monkeypatch):
    monkeypatch.chdir(repository)
    package = repository / ".venv" / "components"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(git, "ROOT", package.parent)
    assert git.find_revisions() == {"graft": None, "directory": git.read_revision(repository)}
    call(repository, "add", "-f", ".venv")
    call(repository, "commit", "-q", "-m", "two")
    assert git.find_revisions()["graft"] == git.read_revision(repository)


def test_variables_of_git_and_programs_of_the_repository_decide_nothing(repository, tmp_path, monkeypatch):
    head = call(repository, "rev-parse", "HEAD")
    ran = tmp_path / "ran"
    call(repository, "config", "core.fsmonitor", f"touch {ran}; false")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.read_revision(repository) == {"revision": head, "dirty": False}
    assert not ran.exists()
