"""The network in the box: photographs, no configuration, no download."""

from pathlib import Path

import pytest

from tests.e2e.conftest import CATS_AND_DOGS, graft, read_summary, without_network

pytestmark = pytest.mark.e2e


@pytest.mark.skipif(not CATS_AND_DOGS.is_dir(), reason=f"needs {CATS_AND_DOGS.name} beside the repository")
def test_photographs_are_told_without_configuration_or_network(tmp_path: Path) -> None:
    finished = graft("run", CATS_AND_DOGS, "--workdir", tmp_path / "work", within=without_network())
    assert finished.code == 0, finished.out + finished.err
    summary = read_summary(tmp_path / "work")
    assert summary["metrics"]["examples"] == 1000
    assert summary["metrics"]["accuracy"] >= 0.985
