"""`TF_CONFIG`: what is understood, and what is refused before anything hangs."""

import json

import numpy as np
import pytest

from components.errors import InputError
from components.trainer.devices.strategy import add_up, broadcast, same_everywhere
from components.trainer.devices.tf_config import Cluster, is_chief, read_cluster

TWO = ["a:1", "b:2"]


def config(cluster, **task):
    return json.dumps({"cluster": cluster, **({"task": task} if task else {})})


@pytest.mark.parametrize(
    ("text", "wanted", "chief"),
    [
        (None, Cluster(1, "chief", 0), True),
        ("  ", Cluster(1, "chief", 0), True),
        ("{}", Cluster(1, "chief", 0), True),
        (config({"worker": TWO}, type="worker", index=0), Cluster(2, "chief", 0), True),
        (config({"worker": TWO}, type="worker", index=1), Cluster(2, "worker", 1), False),
        (config({"worker": TWO}, type="worker", index="1"), Cluster(2, "worker", 1), False),
        (config({"chief": ["c:3"], "worker": TWO}, type="worker", index=0), Cluster(3, "worker", 0), False),
        (config({"chief": ["c:3"], "worker": TWO}, type="chief", index=0), Cluster(3, "chief", 0), True),
        (config({"worker": ["a:1"]}, type="worker", index=0), Cluster(1, "chief", 0), True),
    ],
)
def test_a_cluster_is_read(monkeypatch, text, wanted, chief):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() == wanted
    assert is_chief() is chief


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{'cluster'", "no JSON"),
        ("[1]", "no 'cluster' in"),
        ('{"task": {"type": "worker", "index": 0}}', "no 'cluster' in"),
        (config({"worker": TWO, "ps": ["p:1"]}, type="worker", index=0), "only 'chief' and 'worker' train here"),
        (config({"worker": "a:1"}, type="worker", index=0), "\"a:1\" as the addresses of 'worker'"),
        (config({"worker": []}, type="worker", index=0), "[] as the addresses of 'worker'"),
        (config({"worker": ["a"]}, type="worker", index=0), '["a"] as the addresses'),
        (config({"worker": TWO, "chief": TWO}, type="worker", index=0), "2 chiefs, where one is enough"),
        (config({"worker": TWO}), "the task null, which is none of 0 chiefs and 2 workers"),
        (config({"worker": TWO}, type="worker", index=2), '"index": 2}, which is none of 0 chiefs and 2 workers'),
        (config({"worker": TWO}, type="worker", index=True), '"index": true}, which is none of'),
        (config({"worker": TWO}, type="chief", index=0), '{"type": "chief", "index": 0}, which is none of 0 chiefs'),
        (config({"worker": TWO}, type="ps", index=0), '{"type": "ps", "index": 0}, which is none of'),
    ],
)
def test_a_malformed_one_is_refused_with_an_example(monkeypatch, text, found):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as caught:
        read_cluster()
    message = str(caught.value)
    assert message.startswith('The environment variable TF_CONFIG: expected {"cluster": {"worker": ["host1:2222"')
    assert found in message
    assert "unset it to train in one process" in message


def test_in_one_process_there_is_nothing_to_agree_on(strategies):
    assert add_up(strategies["cpu:2"], np.array([3, 4])).tolist() == [3, 4]
    assert broadcast(strategies["cpu:2"], b"x") == b"x"
    same_everywhere(strategies["cpu:2"], "d" * 64)
