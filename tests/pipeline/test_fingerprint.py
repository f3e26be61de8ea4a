"""The digest of the code behind each node."""

import shutil

import pytest

from components.lines import library_versions
from pipeline import fingerprint
from pipeline.fingerprint import NODE_MODULES, ROOT, node_files, node_fingerprints, source_fingerprints

OURS = {node for node, entries in NODE_MODULES.items() if entries}


def files_of(node):
    return {path.relative_to(fingerprint.ROOT).as_posix() for path in node_files(NODE_MODULES[node])}


@pytest.mark.parametrize(
    ("node", "inside", "outside"),
    [
        (
            "Trainer",
            ["components/trainer/backbones.py", "components/trainer/head.py"],
            ["components/pusher/publish.py"],
        ),
        ("Trainer", ["components/options/trainer.py", "components/features.py"], ["components/transform.py"]),
        (
            "ImageExampleGen",
            ["components/example_gen/split.py", "components/example_gen/images.py"],
            ["components/trainer"],
        ),
        ("ServableCheck", ["components/servable_check/probe.py"], ["components/evaluator/executor.py"]),
        ("ImportSchemaGen", ["components/schema.py", "components/schema.pbtxt"], ["components/transform.py"]),
        ("Transform", ["components/transform.py"], ["components/trainer/train.py"]),
        ("Pusher", ["components/pusher/publish.py", "components/versions.py"], ["components/trainer/head.py"]),
        ("BaselineModel", ["components/baseline.py", "components/versions.py"], ["components/pusher/publish.py"]),
    ],
)
def test_a_node_depends_on_its_own_files_and_no_others(node, inside, outside):
    found = files_of(node)
    assert set(inside) <= found
    assert not set(outside) & found


@pytest.mark.parametrize("node", sorted(OURS))
def test_no_node_depends_on_the_pipeline_or_the_tests(node):
    assert {path.partition("/")[0] for path in files_of(node)} == {"components"}


def test_every_file_of_the_components_belongs_to_a_node():
    found = set().union(*(files_of(node) for node in OURS))
    packages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "components").rglob("__init__.py")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "components").rglob("*.py")}
    assert sources - packages <= found


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources that may be edited."""
    ignore = shutil.ignore_patterns("__pycache__")
    for package in ("components", "pipeline"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


def test_the_digest_does_not_depend_on_the_place(copy):
    there = source_fingerprints()
    fingerprint.ROOT = ROOT
    assert source_fingerprints() == there


@pytest.mark.parametrize(
    ("file", "nodes"),
    [
        ("components/trainer/backbones.py", {"Trainer", "Tuner"}),
        ("components/example_gen/split.py", {"ImageExampleGen"}),
        ("components/schema.pbtxt", {"ImportSchemaGen"}),
        ("components/servable_check/probe.py", {"ServableCheck"}),
        ("components/transform.py", {"Transform"}),
        ("components/pusher/publish.py", {"Pusher"}),
        ("components/data_gate/drift.py", {"DataGate"}),
        ("components/versions.py", {"Pusher", "BaselineModel", "DataGate"}),
        ("components/features.py", OURS),
        ("pipeline/cli/run.py", set()),
    ],
)
def test_an_edited_file_changes_the_digests_of_what_depends_on_it(copy, file, nodes):
    before = source_fingerprints()
    path = copy / file
    path.write_bytes(path.read_bytes() + b"\n")
    after = source_fingerprints()
    assert {node for node in before if before[node] != after[node]} == nodes


def test_a_new_import_inside_a_function_is_followed(copy):
    before = source_fingerprints()
    (copy / "components" / "extra.py").write_text("VALUE = 1\n")
    path = copy / "components" / "trainer" / "head.py"
    path.write_text(path.read_text() + "\n\ndef use():\n    from components import extra\n\n    return extra.VALUE\n")
    edited = source_fingerprints()
    (copy / "components" / "extra.py").write_text("VALUE = 2\n")
    assert source_fingerprints()["Trainer"] != edited["Trainer"] != before["Trainer"]


def test_another_version_of_a_library_changes_what_every_node_is_cached_by():
    sources, libraries = source_fingerprints(), library_versions()
    before, after = node_fingerprints(sources, libraries), node_fingerprints(sources, {**libraries, "keras": "99"})
    assert all(before[node] != after[node] for node in NODE_MODULES)


def test_another_source_changes_what_its_node_is_cached_by():
    sources, libraries = source_fingerprints(), library_versions()
    before = node_fingerprints(sources, libraries)
    after = node_fingerprints({**sources, "Trainer": "other"}, libraries)
    assert {node for node in before if before[node] != after[node]} == {"Trainer"}
