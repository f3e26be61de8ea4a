"""What differs between two versions."""

import json

import pytest

from components.contract import features
from components.errors import InputError
from components.registry import versions
from components.registry.compare import SECTIONS, diff_versions, to_lines


@pytest.fixture
def two(push, serving):
    first = push("a", 0.95)
    other = {"trainer": {"learning_rate": 0.003}}
    second = push("b", 0.97, config=other, libraries={"tfx": "1.21.0", "keras": "3"}, parent=first)
    return serving, first, second


def test_the_differences_are_in_their_sections(two):
    serving, first, second = two
    found = diff_versions(serving, first, second)
    assert list(found) == list(SECTIONS)
    assert found["data"] == found["code"] == {}
    assert found["configuration"] == {"config.trainer.learning_rate": (0.001, 0.003)}
    assert found["libraries"] == {
        "libraries.keras": (None, "3"),
        "libraries.tfx": ("1.16.0", "1.21.0"),
        "tfx_line": ("1.16", "1.21"),
    }
    assert found["model"] == {"model.weights_sha256": ("a", "b")}
    assert found["metrics"]["metrics.accuracy"] == (0.95, 0.97)
    assert found["metrics"]["parent"] == (None, first)


def test_counts_of_the_data_are_compared_too(two):
    serving, first, second = two
    path = serving / str(second) / features.EXTRA_ASSETS / features.DATASET_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "per_class": {"train": {"cats": 5}}}))
    assert diff_versions(serving, first, second)["data"] == {"dataset.per_class.train.cats": (None, 5)}


def test_a_version_and_itself_are_the_same(two):
    serving, first, _ = two
    assert list(to_lines(diff_versions(serving, first, first))) == [f"the same: {', '.join(SECTIONS)}"]


def test_the_differences_can_be_read(two, graft):
    serving, first, second = two
    code, out = graft("diff", serving, "previous", "served")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{first} -> {second}"
    assert "  trainer.learning_rate  0.001 -> 0.003  (+0.002)" in lines
    assert "  libraries.keras  - -> 3" in lines
    assert any(line.split() == ["accuracy", "0.95", "->", "0.97", "(+0.02)"] for line in lines)
    assert lines[-1] == "the same: data, code"
    assert max(map(len, lines)) <= 120
    code, out = graft("diff", serving, first, second, "--json")
    assert json.loads(out)["configuration"] == {"config.trainer.learning_rate": [0.001, 0.003]}


def test_a_version_of_others_has_nothing_to_compare(two):
    serving, first, second = two
    (serving / str(first) / versions.PASSPORT_FILE).unlink()
    with pytest.raises(InputError, match=f"Version {first} of .* has no passport"):
        diff_versions(serving, first, second)


def test_the_terminal_shows_the_metrics_that_matter_and_says_that_there_are_more():
    rows = {f"metrics.per_class.c{n}.accuracy": (0.9, 0.9 - n / 100) for n in range(20)}
    rows |= {f"metrics.per_class.c{n}.auc": (0.9, 0.8) for n in range(20)}
    rows["metrics.accuracy"] = (0.9, 0.8)
    rows["metrics.intervals.accuracy"] = ([0.8, 0.95], [0.71234567, 0.9])
    rows["metrics.confusion_matrix"] = ([[1, 2], [3, 4], [5, 6]], None)
    rows["metrics.slices.format.png.accuracy"] = (0.5, 0.6)
    lines = list(to_lines({"metrics": rows}))
    assert [line.split()[0] for line in lines[1:11]] == [f"per_class.c{n}.accuracy" for n in range(10, 20)]
    assert lines[11].split() == ["accuracy", "0.9", "->", "0.8", "(-0.1)"]
    assert lines[12].split(maxsplit=1) == ["intervals.accuracy", "[0.8, 0.95] -> [0.712346, 0.9]"]
    assert lines[13] == "  ... and 32 more, with --json"
