"""`graft models` on a version that a real run pushed: one configuration, one model, whatever files and shell say."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, graft, served_versions

pytestmark = pytest.mark.e2e

KERAS = {"floatx": "float16", "epsilon": 0.5, "image_data_format": "channels_first", "backend": "torch"}
SHELL = ("KERAS_BACKEND=torch", "TF_USE_LEGACY_KERAS=1", "TF_ENABLE_ONEDNN_OPTS=0", "KERAS_MAX_EPOCHS=1")


def test_a_version_is_what_was_pushed_and_comes_out_again_byte_for_byte(sample_run: Run, tmp_path: Path) -> None:
    version = sample_run.summary["model"]["version"]
    verified = graft("models", "verify", sample_run.workdir)
    assert verified.code == 0, verified.out
    assert f"{version}  clean" in verified.out

    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(KERAS))
    command = ("models", "reproduce", sample_run.workdir, "served", "--workdir", tmp_path / "again")
    again = graft(*command, within=("env", f"HOME={tmp_path}", *SHELL))
    assert again.code == 0, again.out + again.err
    assert "head      byte-identical" in again.out
    assert "backbone  byte-identical" in again.out
    assert "note" not in again.out.split("run again in")[1]
    for name in ("variables/variables.data-00000-of-00001", "variables/variables.index", "assets/graft.json"):
        (expected,), (found,) = (
            [(root / "serving" / version / name).read_bytes() for version in served_versions(root)]
            for root in (sample_run.workdir, tmp_path / "again")
        )
        assert found == expected, name
