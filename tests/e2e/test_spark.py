"""Ingest on a real Spark, one of whose workers is killed in the middle of a shard."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from components.contract import features
from tests import pictures
from tests.e2e.conftest import ROOT
from tests.e2e.spark import LIMIT, RUNNER, spark_cluster, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """2,000 train and 1,000 validation images; one of the first is cut."""
    root = tmp_path_factory.mktemp("data")
    for number in range(3000):
        side, label = ("train", "validation")[number >= 2000], ("cats", "dogs")[number % 2]
        pictures.write(root / side / label / f"{number:04d}.png", pictures.encode(pictures.noise(24, 32, number)))
    pictures.write(root / "train" / "cats" / "0666.png", (root / "train" / "cats" / "0666.png").read_bytes()[:-300])
    return root


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def kill_worker(held: int, workers: set[int]) -> int:
    """Kills a Python process of Spark and all above it up to Spark's worker, as a machine that is lost."""
    line = [held]
    while line[-1] not in workers:
        line.append(parent_of(line[-1]))
    for process in reversed(line):
        os.kill(process, signal.SIGKILL)
    return line[-1]


def read_shards(out: Path) -> dict[str, bytes]:
    return {
        f"{folder.name}/{shard.name}": shard.read_bytes()
        for folder in (out / "examples").iterdir()
        for shard in folder.iterdir()
    }


def count_records(shards: dict[str, bytes]) -> Counter[tuple[str, str]]:
    """How often each file's digest is there, by split."""
    import io

    import tensorflow as tf

    from components.sources.formats.tfrecords import walk_frames

    found = Counter[tuple[str, str]]()
    for name, content in shards.items():
        for frame in walk_frames(io.BytesIO(content), 1 << 30):
            assert not frame.problem, (name, frame.problem)
            example = tf.train.Example.FromString(frame.data).features.feature
            found[name.partition("/")[0], example[features.SHA256].bytes_list.value[0].decode()] += 1
    return found


def test_a_worker_killed_in_the_middle_of_a_shard_changes_no_byte(tmp_path, data):
    local, spread, held = tmp_path / "local", tmp_path / "spread", tmp_path / "held"
    held.mkdir()
    with spark_cluster(tmp_path, [Path(__file__).with_name("held")], GRAFT_HELD=held) as cluster:
        command = [sys.executable, "-m", "tests.e2e.ingest", data, local, "DirectRunner", spread, RUNNER]
        with (tmp_path / "driver.txt").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=cluster.environment, stdout=log, stderr=log)
        try:
            stopped = lambda: (held / "pid").is_file() or process.poll() is not None  # noqa: E731
            wait_for(stopped, "worker in the middle of a shard")
            assert process.poll() is None, (tmp_path / "driver.txt").read_text()
            assert [path for path in (spread / "examples" / ".attempts").iterdir() if path.is_file()]
            killed = kill_worker(int((held / "pid").read_text()), {worker.pid for worker in cluster.workers})
            assert process.wait(LIMIT) == 0, (tmp_path / "driver.txt").read_text()
        finally:
            process.kill()
            process.wait()
        assert [worker.pid for worker in cluster.workers if worker.poll() is not None] == [killed]
    shards = read_shards(spread)
    records = count_records(shards)
    assert Counter(split for split, _ in records) == {"Split-train": 1999, "Split-eval": 1000}
    assert set(records.values()) == {1}
    assert len(shards) > 4
    assert shards == read_shards(local)
