"""The digest of the code behind each node."""

import ast
import functools
import re
import shutil

import pytest

from components.process.lines import library_versions
from pipeline import fingerprint
from pipeline.fingerprint import (
    NODE_MODULES,
    ROOT,
    begin_source_fingerprints,
    code_digest,
    node_files,
    node_fingerprints,
    source_fingerprints,
)

OURS = {node for node, entries in NODE_MODULES.items() if entries}
GATED = {"DataGate", "Evaluator", "ServableCheck"}
# Each module of options: the nodes that run again where its code changes.
OPTIONS = {
    "base": {"ImageExampleGen", "Transform", "Tuner", "Trainer", "Report"} | GATED,
    "beam": set(),
    "card": set(),
    "data": {"ImageExampleGen", "DataGate", "Transform", "Report"},
    "gates": GATED,
    "trainer": {"Tuner", "Trainer", "Report"},
    "tuner": {"Tuner"},
}


@functools.cache
def files_of(node):
    return {path.relative_to(ROOT).as_posix() for path in node_files(NODE_MODULES[node])}


@functools.cache
def fingerprints():
    """Those of the sources as they are."""
    return source_fingerprints()


@functools.cache
def code():
    return code_digest()


def test_a_process_beside_digests_the_same_sources_wherever_it_is_asked(tmp_path, monkeypatch):
    (tmp_path / "pipeline").mkdir()  # a user's own
    (tmp_path / "pipeline" / "__init__.py").write_text("raise RuntimeError", "utf-8")
    monkeypatch.chdir(tmp_path)
    finish = begin_source_fingerprints()
    monkeypatch.setattr(fingerprint, "source_fingerprints", lambda: pytest.fail("asked here"))
    assert finish() == fingerprints()


def test_where_that_process_fails_this_one_digests(monkeypatch):
    monkeypatch.setattr(fingerprint.sys, "executable", shutil.which("false"))
    assert begin_source_fingerprints()() == fingerprints()


@pytest.mark.parametrize(
    ("node", "inside", "outside"),
    [
        (
            "Trainer",
            ["components/trainer/backbones/table.py", "components/trainer/heads/head.py"],
            ["components/registry/publish.py"],
        ),
        ("Trainer", ["components/options/trainer.py", "components/contract/features.py"], ["components/transform.py"]),
        (
            "ImageExampleGen",
            ["components/example_gen/split/sides.py", "components/images/inspection.py"],
            ["components/trainer"],
        ),
        ("ServableCheck", ["components/servable_check/probe.py"], ["components/evaluator/executor.py"]),
        ("ImportSchemaGen", ["components/schema.py", "components/schema.pbtxt"], ["components/transform.py"]),
        ("Transform", ["components/transform.py"], ["components/trainer/train.py"]),
        (
            "Pusher",
            ["components/registry/publish.py", "components/registry/versions.py", "components/registry/card/card.j2"],
            ["components/trainer/heads/head.py"],
        ),
        (
            "BaselineModel",
            ["components/baseline_model.py", "components/registry/versions.py"],
            ["components/registry/publish.py"],
        ),
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
    # Where Beam runs decides no result, nor do the words of a card; a trial keeps nothing, and no node finds or changes
    # the served version.
    apart = {"options/beam", "options/card", "trainer/trial"} | {f"registry/{name}" for name in ("change", "find")}
    assert sources - packages - found == {f"components/{name}.py" for name in apart}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The sources in another place."""
    made = tmp_path_factory.mktemp("sources")
    for package in ("components", "pipeline"):
        shutil.copytree(ROOT / package, made / package, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.fixture
def edit(place, monkeypatch):
    """Call it with a file's name and new text to edit it, in the other place and for this test."""
    fingerprints(), code()
    monkeypatch.setattr(fingerprint, "ROOT", place)
    before = {}

    def call(file, text):
        path = place / file
        before.setdefault(path, path.read_bytes() if path.exists() else None)
        path.write_text(text, "utf-8")

    yield call
    for path, content in before.items():
        path.unlink() if content is None else path.write_bytes(content)


def append(edit, file, text):
    edit(file, (fingerprint.ROOT / file).read_text("utf-8") + text)


def changed():
    """The nodes whose digest the edited sources change."""
    now = source_fingerprints()
    return {node for node, digest in fingerprints().items() if now[node] != digest}


@pytest.mark.usefixtures("edit")
def test_the_digest_does_not_depend_on_the_place():
    assert (source_fingerprints(), code_digest()) == (fingerprints(), code())


@pytest.mark.parametrize(
    ("file", "nodes"),
    [
        ("components/trainer/backbones/table.py", {"Trainer", "Tuner"}),
        ("components/example_gen/split/sides.py", {"ImageExampleGen"}),
        ("components/schema.pbtxt", {"ImportSchemaGen"}),
        ("components/servable_check/probe.py", {"ServableCheck"}),
        ("components/exports/tflite_probe.py", {"Trainer", "ServableCheck"}),
        ("components/transform.py", {"Transform"}),
        ("components/registry/publish.py", {"Pusher"}),
        ("components/data_gate/findings.py", {"DataGate"}),
        ("components/registry/versions.py", {"Pusher", "BaselineModel", "DataGate", "Report"}),
        ("components/contract/features.py", OURS),
        ("components/process/surroundings.py", OURS),
        ("components/__init__.py", OURS),
        ("components/trainer/__init__.py", {"Trainer", "Tuner", "Report"}),
        ("components/options/__init__.py", OPTIONS["base"]),
        ("pipeline/cli/run.py", set()),
        ("pipeline/kubeflow/task/entrypoint.py", set()),
        *((f"components/options/{module}.py", nodes) for module, nodes in OPTIONS.items()),
    ],
)
def test_edited_code_changes_the_digests_of_what_depends_on_it(edit, file, nodes):
    append(edit, file, "\nEDITED = 1\n")
    assert changed() == nodes


@pytest.mark.parametrize("module", sorted(OPTIONS))
def test_reworded_options_run_nothing_again(edit, module):
    file = f"components/options/{module}.py"
    text = (ROOT / file).read_text("utf-8")
    reworded = re.sub(r'description="[^"]*"', 'description="In other words."', text)
    reworded = re.sub(r'"""[^"]*"""', '"""In other words."""  # and why', reworded)
    assert reworded != text
    edit(file, reworded)
    assert changed() == set()


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("data", "eval_fraction: ", "eval_share: "),
        ("gates", "max_decay: Fraction = Field(\n        0.02", "max_decay: Fraction = Field(\n        0.03"),
        ("trainer", "epochs: Positive = Field(20", "epochs: Positive = Field(21"),
        ("tuner", "trials: Positive = Field(20", "trials: Positive = Field(21"),
    ],
)
def test_a_changed_option_runs_the_nodes_that_read_its_module(edit, module, before, after):
    file = f"components/options/{module}.py"
    text = (ROOT / file).read_text("utf-8")
    assert before in text
    edit(file, text.replace(before, after))
    assert changed() == OPTIONS[module]


def test_the_table_names_every_module_of_options():
    assert {path.stem for path in (ROOT / "components" / "options").glob("*.py")} - {"__init__"} == set(OPTIONS)


def test_no_package_gives_the_names_of_its_modules():
    """A stage that asked a package for one name would depend on all that the package gives."""
    for package in ("components", "pipeline"):
        for path in (ROOT / package).rglob("__init__.py"):
            imported = [n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.ImportFrom)]
            assert not imported or path.parent in (ROOT / "components", ROOT / "pipeline" / "cli"), path


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("pipeline/kubeflow/task/entrypoint.py", True),
        ("pipeline/kubeflow/task/plan_task.py", True),
        ("pipeline/kubeflow/task/pod.py", True),
        ("pipeline/kubeflow/task/review.py", True),
        ("pipeline/kubeflow/__init__.py", True),
        ("pipeline/run/planning.py", True),
        ("pipeline/beam.py", True),
        ("pipeline/__init__.py", True),
        ("components/trainer/heads/head.py", True),
        ("components/exports/tflite_probe.py", True),
        ("components/schema.pbtxt", True),
        ("pipeline/cli/run.py", False),
        ("pipeline/serve/app.py", False),
        ("pipeline/kubeflow/kfp/runs.py", False),
    ],
)
def test_the_digest_of_an_image_covers_all_code_that_runs_in_a_pod(edit, file, counts):
    append(edit, file, "\n# a comment\n")
    assert (code_digest() != code()) is (not file.endswith(".py"))
    append(edit, file, "\nEDITED = 1\n")
    assert (code_digest() != code()) is counts


def test_a_new_import_inside_a_function_is_followed(edit):
    edit("components/extra.py", "VALUE = 1\n")
    use = "\n\ndef use():\n    from components import extra\n\n    return extra.VALUE\n"
    append(edit, "components/trainer/heads/head.py", use)
    edited = source_fingerprints()
    edit("components/extra.py", "VALUE = 2\n")
    assert source_fingerprints()["Trainer"] != edited["Trainer"] != fingerprints()["Trainer"]


def test_another_version_of_a_library_changes_what_every_node_is_cached_by():
    sources, libraries = fingerprints(), library_versions()
    before, after = node_fingerprints(sources, libraries), node_fingerprints(sources, {**libraries, "keras": "99"})
    assert all(before[node] != after[node] for node in NODE_MODULES)


def test_another_source_changes_what_its_node_is_cached_by():
    sources, libraries = fingerprints(), library_versions()
    before = node_fingerprints(sources, libraries)
    after = node_fingerprints({**sources, "Trainer": "other"}, libraries)
    assert {node for node in before if before[node] != after[node]} == {"Trainer"}
