"""Ingest and the feature pass on a real Spark, one of whose workers is killed in the middle of its work."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from components.contract import features
from tests import pictures
from tests.e2e.conftest import ROOT, Run, read_summary
from tests.e2e.spark import LIMIT, RUNNER, Cluster, spark_cluster, wait_for

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


def run_with_a_killed_worker(command: list[object], cluster: Cluster, folder: Path, look) -> None:
    """Runs a driver to its good end, and kills one of its workers, which is held in the middle of its work.

    Args:
        command: of the driver.
        cluster: where its workers are.
        folder: where the held worker leaves its process id, in `held`, and the driver's output goes.
        look: is called while the worker is held.
    """
    with (folder / "driver.txt").open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, env=cluster.environment, stdout=log, stderr=log
        )
    try:
        stopped = lambda: (folder / "held" / "pid").is_file() or process.poll() is not None  # noqa: E731
        wait_for(stopped, "worker in the middle of its work")
        assert process.poll() is None, (folder / "driver.txt").read_text()
        look()
        killed = kill_worker(int((folder / "held" / "pid").read_text()), {worker.pid for worker in cluster.workers})
        assert process.wait(LIMIT) == 0, (folder / "driver.txt").read_text()
    finally:
        process.kill()
        process.wait()
    assert [worker.pid for worker in cluster.workers if worker.poll() is not None] == [killed]


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

        def half_written() -> None:
            assert [path for path in (spread / "examples" / ".attempts").iterdir() if path.is_file()]

        run_with_a_killed_worker(command, cluster, tmp_path, half_written)
    shards = read_shards(spread)
    records = count_records(shards)
    assert Counter(split for split, _ in records) == {"Split-train": 1999, "Split-eval": 1000}
    assert set(records.values()) == {1}
    assert len(shards) > 4
    assert shards == read_shards(local)


def read_features(workdir: Path) -> dict[bytes, bytes]:
    """The bits of each kept feature, by the digest of its image; an image is in one pack only."""
    from components.trainer.features.packs import Pack

    (key,) = (path.parent for path in (workdir / "features").glob("*/key.json"))
    found = dict[bytes, bytes]()
    for path in key.glob("*.parquet"):
        pack = Pack(path.read_bytes(), path.stem.rpartition("-")[2])
        assert not set(pack.digests) & set(found)
        found |= {digest: vector.tobytes() for digest, vector in zip(pack.digests, pack.vectors(), strict=True)}
    return found


def test_features_of_workers_one_of_which_is_killed_are_those_of_the_trainer(tmp_path, sample_run: Run):
    (tmp_path / "held").mkdir()
    workdir, node = tmp_path / "work", json.dumps({"Trainer": {"runner": RUNNER}})
    settings = ["--set", "trainer.feature_pass=beam", "--set", f"beam.nodes={node}"]
    command = [sys.executable, "-m", "pipeline", "run", "configs/sample.yaml", "--workdir", workdir, *settings]

    def unfinished() -> None:
        assert len(list((workdir / "features").glob("*/backbone-*.partial"))) == 1
        assert len(list((workdir / "features").glob("*/*.parquet"))) < 7

    places = [Path(__file__).with_name("held")]
    with spark_cluster(tmp_path, places, GRAFT_HELD=tmp_path / "held") as cluster:
        run_with_a_killed_worker(command, cluster, tmp_path, unfinished)
    found = read_features(workdir)
    assert len(found) == 896
    assert found == read_features(sample_run.workdir)
    assert not list((workdir / "features").glob("*/*.partial"))
    assert read_summary(workdir)["model"]["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]
    (history,) = workdir.glob("artifacts/Trainer/model_run/*/history.json")
    assert json.loads(history.read_text("utf-8"))["features_computed"] == 896
