"""`graft serve` as a process, asked by good clients while others try to make it fail."""

import re
import subprocess
import sys

import pytest
import requests

from tests.e2e.conftest import ROOT, Run, start_graft

pytestmark = pytest.mark.e2e


def test_no_good_request_fails_while_hostile_ones_arrive(sample_run: Run) -> None:
    images = sample_run.workdir / "sample" / "digits"
    command = [sys.executable, "benchmarks/serve_load.py", sample_run.workdir, images]
    options = ["--clients", "8", "--seconds", "12", "--hostile"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failures" in done.stdout
    for kind in ("scans", "deeper", "surrogate", "gzip bomb", "two lengths", "other site", "slow head", "idle"):
        assert re.search(rf"'{kind}': [1-9]", done.stdout), kind


def test_other_names_are_answered_where_they_are_allowed_only(sample_run: Run) -> None:
    server = start_graft("serve", sample_run.workdir, "--port", "0", "--allowed-host", "models.example")
    try:
        url = re.search(r"http://\S+/", server.stdout.readline() if server.stdout else "")
        assert url
        hosts = ("models.example", "localhost", "evil.example")
        assert [status_of(url[0], host) for host in hosts] == [200, 200, 403]
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0


def status_of(url: str, host: str) -> int:
    answer = requests.get(f"{url}healthz/ready", headers={"Host": host}, timeout=60)
    assert answer.ok or "--allowed-host" in answer.json()["error"]
    return answer.status_code
