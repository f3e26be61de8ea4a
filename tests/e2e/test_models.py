"""`graft models` on a version that a real run pushed."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Run, graft

pytestmark = pytest.mark.e2e


def test_a_version_is_what_was_pushed_and_comes_out_again_byte_for_byte(sample_run: Run, tmp_path: Path) -> None:
    version = sample_run.summary["model"]["version"]
    verified = graft("models", "verify", sample_run.workdir)
    assert verified.code == 0, verified.out
    assert f"{version}  clean" in verified.out

    again = graft("models", "reproduce", sample_run.workdir, "served", "--workdir", tmp_path / "again")
    assert again.code == 0, again.out + again.err
    assert "head      byte-identical" in again.out
    assert "backbone  byte-identical" in again.out
    assert "note" not in again.out.split("run again in")[1]
