"""What a passport says."""

import hashlib
import json

import pytest

from components.contract import features
from components.process.lines import LINES, current_line, library_versions
from components.registry.passport import Material, complete_passport, describe_data
from tests.components.registry.models import METRICS, PASSPORT, ROWS, make_data

FACTS = {"classes": ["cats", "été"], "weights_sha256": "w", "seed": 7}
MATERIAL = Material(FACTS, {"saved_model.pb": "d1", "assets/labels.txt": "d2"}, {"assets.extra/dataset.json": "d3"})


def test_a_passport_holds_what_the_plan_knew_and_what_was_found(data):
    full = complete_passport(PASSPORT, MATERIAL, data)
    assert PASSPORT.items() <= full.items()
    assert full["class_map"] == {"cats": 0, "été": 1}
    assert full["seeds"] == {"trainer": 7}
    assert list(full["files"]) == ["assets.extra/dataset.json", "assets/labels.txt", "saved_model.pb"]
    assert full["metrics"] == METRICS
    assert full["dataset"]["manifest_sha256"]
    assert full["created"].endswith("Z")


def test_a_passport_says_what_the_pusher_runs_on_not_what_a_pipeline_was_compiled_on():
    libraries, line = library_versions(), current_line().name
    other = next(name for name in LINES if name != line)
    planned = {"libraries": {**libraries, "tfx": f"{other}.0"}, "lock_sha256": "of the other line"}
    full = complete_passport({**PASSPORT, **planned}, MATERIAL, None)
    assert (full["tfx_line"], full["libraries"], full["lock_sha256"]) == (line, libraries, "")
    full = complete_passport({**PASSPORT, "libraries": libraries, "lock_sha256": "of this line"}, MATERIAL, None)
    assert full["lock_sha256"] == "of this line"


def test_a_model_of_which_nothing_is_known_has_a_passport_too():
    full = complete_passport(PASSPORT, MATERIAL, None)
    assert "dataset" not in full
    assert "metrics" not in full


def test_the_data_is_described_by_its_digests(data, tmp_path):
    manifest = (tmp_path / "data" / "manifest" / features.MANIFEST_FILE).read_bytes()
    assert describe_data(data.manifest) == {
        "train": 1,
        "eval": 1,
        "quarantined": 1,
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "split_sha256": hashlib.sha256(f"{'a' * 64} eval\n{'b' * 64} train\n".encode()).hexdigest(),
    }


def test_corrections_are_in_the_passport(data, tmp_path):
    path = tmp_path / "data" / "manifest" / features.DATASET_FILE
    corrected = {"corrected": 2, "excluded": 1, "corrections_sha256": "c" * 64}
    path.write_text(json.dumps({**json.loads(path.read_text()), **corrected}))
    assert describe_data(data.manifest).items() >= corrected.items()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "cats/other.jpg"}, True),
        ({"split": "eval"}, False),
        ({"sha256": "d" * 64}, False),
        ({"reason": "duplicate_of"}, False),
    ],
)
def test_the_split_digest_says_which_images_are_on_which_side(tmp_path, data, change, same):
    other = make_data(tmp_path / "other", [ROWS[0], {**ROWS[1], **change}, *ROWS[:1:-1]])
    before, after = describe_data(data.manifest), describe_data(other.manifest)
    assert before["manifest_sha256"] != after["manifest_sha256"]
    assert (before["split_sha256"] == after["split_sha256"]) is same
