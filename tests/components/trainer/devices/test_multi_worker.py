"""Two workers in two processes on this machine: one head, and only the chief writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.components.trainer.toys import answer_of, toy, toy_options

PROBLEM = {"count": 101, "width": 40, "noise": 2.0}
OPTIONS = {
    "devices": "cpu",
    "epochs": 6,
    "batch_size": 15,
    "dropout": 0.3,
    "tensorboard": True,
    "validation_fraction": 0.1,
}


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(folder, problems=(PROBLEM, PROBLEM), **options):
    """Two of them, each with folders of its own, as on machines that share nothing."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    started = []
    for index, problem in enumerate(problems):
        facts = {"problem": problem, "options": {**OPTIONS, **options}}
        facts |= {"logs": str(folder / f"logs{index}"), "checkpoints": str(folder / f"checkpoints{index}")}
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.components.trainer.toys", json.dumps(facts)],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return [(*worker.communicate(timeout=240), worker.returncode) for worker in started]


def files(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


def single_head(strategies, tmp_path, **options):
    from components.trainer.heads.head import train_head

    values, split = toy(**PROBLEM)
    chosen = toy_options(**{**OPTIONS, "tensorboard": False, **options})
    return train_head(strategies["cpu"], values, split, 3, chosen, str(tmp_path))[0]


@pytest.mark.e2e
def test_two_workers_end_with_the_head_of_one_and_go_on_where_the_chief_was(strategies, tmp_path):
    first, second = (answer_of(out) for out, _, _ in start_workers(tmp_path))
    assert first == second
    assert first["devices"] == "2 replicas on 2 workers, batch 15 (at most 8 a replica)"
    np.testing.assert_allclose(first["kernel"], single_head(strategies, tmp_path / "one").kernel, atol=1e-5)
    assert len(files(tmp_path / "logs0")) == 2
    assert files(tmp_path / "checkpoints0") == ["epoch-000005.ckpt", "epoch-000006.ckpt"]
    assert files(tmp_path / "logs1") == files(tmp_path / "checkpoints1") == []

    newest = next((tmp_path / "checkpoints0").rglob("epoch-000006.ckpt"))
    newest.unlink()  # as if both had been killed during the last epoch
    again, too = (answer_of(out) for out, _, _ in start_workers(tmp_path))
    assert again == too == first
    assert newest.exists()


@pytest.mark.e2e
def test_workers_that_see_different_data_all_stop(tmp_path):
    for _, errors, code in start_workers(tmp_path, (PROBLEM, {**PROBLEM, "seed": 1})):
        assert code != 0
        assert "1 of 2 have others than the chief" in errors
