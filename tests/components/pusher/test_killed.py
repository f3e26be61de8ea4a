"""A push that dies at any moment leaves only complete versions."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.components.pusher.models import make_model

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("GRAFT_KILLS", "20"))  # 50 take half a minute


def test_pushes_killed_at_random_moments_leave_only_complete_versions(tmp_path):
    model = make_model(tmp_path / "model", "w123", 4_000_000)
    command = [sys.executable, "-m", "tests.components.pusher.killer", tmp_path / "serving", model, str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["wrong"] == []
    assert seen["leftovers"] == []
    assert seen["last"] == "last"
    assert 0 < seen["complete"] - 3 < KILLS, "the kills came all before or all after the end of a push"
