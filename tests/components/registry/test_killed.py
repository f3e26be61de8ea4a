"""A push that dies at any moment leaves only complete versions, and processes that push at once wait for each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

from components.registry import pointer, versions
from components.registry.verify import verify_version
from tests.components.registry.models import make_model

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("GRAFT_KILLS", "20"))  # 50 take half a minute


def test_pushes_killed_at_random_moments_leave_only_complete_versions(tmp_path):
    model = make_model(tmp_path / "model", "w123", 4_000_000)
    command = [sys.executable, "-m", "tests.components.registry.killer", tmp_path / "serving", model, str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["wrong"] == []
    assert seen["leftovers"] == []
    assert seen["last"] == "last"
    assert 0 < seen["complete"] - 3 < KILLS, "the kills came all before or all after the end of a push"


PUSHES = """
import sys
from pathlib import Path
from components.registry.publish import publish_model
from tests.components.registry.models import PASSPORT
serving, model, name = sys.argv[1:]
for number in range(5):
    print(publish_model(model, Path(serving), {**PASSPORT, "model_key": f"{name}-{number}"}).version)
"""


def test_processes_that_push_at_once_get_distinct_numbers(tmp_path):
    model, serving = make_model(tmp_path / "model", "w123", 400_000), tmp_path / "serving"
    commands = [[sys.executable, "-c", PUSHES, serving, model, name] for name in ("a", "b", "c")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    told = [int(line) for process in processes for line in process.communicate(timeout=500)[0].split()]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(told) == versions.list_versions(serving)
    assert len(set(told)) == 15
    assert all(verify_version(serving, number).clean for number in told)
    assert versions.served_version(serving) == max(told)
    assert [event.version for event in pointer.read_pointer(serving).history] == sorted(told)
