"""The same command once more: over damaged results, unchanged ones, another gate, edited sources and changed images."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.contract.artifacts import find_artifact_damage
from components.registry.verify import verify_version
from tests.damages import DAMAGES, damages_of, files_of, flip_byte
from tests.e2e.conftest import NODES, ROOT, Finished, Run, graft, read_summary, served_versions

pytestmark = pytest.mark.e2e
FLIPS = 100


@dataclass(frozen=True)
class Place:
    """Copies of the sources and of the sample's images, and the working directory of a run of them."""

    tree: Path
    digits: Path
    workdir: Path

    def run(self, *options: object) -> Finished:
        command = ("run", "configs/sample.yaml", "--data", self.digits, "--workdir", self.workdir)
        return graft(*command, *options, cwd=self.tree)


@pytest.fixture(scope="module")
def place(sample_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One place for the tests of this file, which follow each other."""
    folder = tmp_path_factory.mktemp("place")
    made = Place(folder / "tree", folder / "digits", folder / "work")
    for name in ("pipeline", "components", "configs"):
        shutil.copytree(ROOT / name, made.tree / name)
    shutil.copytree(sample_run.workdir / "sample" / "digits", made.digits)
    finished = made.run()
    assert finished.code == 0, finished.out + finished.err
    return made


@pytest.fixture
def workdir(place: Place, tmp_path: Path) -> Iterator[Path]:
    """The working directory; afterwards it is as it was, for the tests that follow."""
    shutil.copytree(place.workdir, tmp_path / "kept", symlinks=True)
    yield place.workdir
    shutil.rmtree(place.workdir)
    shutil.copytree(tmp_path / "kept", place.workdir, symlinks=True)


def made_by_each_node(workdir: Path) -> dict[str, dict[str, Any]]:
    """What the newest execution of every node left, as ML Metadata knows it: {node: {output: artifact}}."""
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as proto
    from tfx.types import artifact_utils

    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(workdir / "metadata.sqlite")
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
    store, found = metadata_store.MetadataStore(config), {}
    for context in store.get_contexts_by_type("node"):
        newest = max(execution.id for execution in store.get_executions_by_context(context.id))
        events = [e for e in store.get_events_by_execution_ids([newest]) if e.type == proto.Event.OUTPUT]
        artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
        kinds = store.get_artifact_types_by_id([artifact.type_id for artifact in artifacts])
        found[context.name.rpartition(".")[2]] = {
            event.path.steps[0].key: artifact_utils.deserialize_artifact(kind, artifact)
            for event, artifact, kind in zip(events, artifacts, kinds, strict=True)
        }
    return found


def test_every_output_of_every_node_is_bound_to_its_bytes(workdir: Path, tmp_path: Path) -> None:
    made = made_by_each_node(workdir)
    assert set(made) == set(NODES)
    for node, outputs in made.items():
        assert outputs, node
        for key, artifact in outputs.items():
            assert find_artifact_damage(artifact) == "", (node, key)
            kept, folder = tmp_path / node / key, Path(artifact.uri)
            shutil.copytree(folder, kept)
            for name in damages_of(folder):
                DAMAGES[name](folder)
                assert "is not as it was made" in find_artifact_damage(artifact), (node, key, name)
                shutil.rmtree(folder)
                shutil.copytree(kept, folder)
            assert find_artifact_damage(artifact) == "", (node, key)


def test_damaged_results_are_made_again_and_the_same_model_is_pushed(
    place: Place, workdir: Path, sample_run: Run
) -> None:
    made = made_by_each_node(workdir)
    swapped = Path(made["Trainer"]["model"].uri, "Format-Serving", "assets", "labels.txt")
    assert swapped.read_text() == "5\n6\n7\n8\n9\n"
    swapped.write_text("6\n5\n7\n8\n9\n")
    DAMAGES["flipped byte"](Path(made["StatisticsGen"]["statistics"].uri))
    DAMAGES["missing file"](Path(made["Evaluator"]["evaluation"].uri))
    shutil.rmtree(workdir / "serving")

    finished = place.run()
    summary = read_summary(workdir)
    assert finished.code == 0, finished.out + finished.err
    assert summary["status"] == "pushed"
    assert sorted(summary["cached"]) == ["ImageExampleGen", "ImportSchemaGen", "Transform"]
    assert sorted(reason.partition(" is not")[0] for reason in summary["reasons"]) == [
        "StatisticsGen: its kept output statistics",
        "Trainer: its kept output model",
    ]
    assert all(reason in finished.out for reason in summary["reasons"])
    assert summary["model"]["weights_sha256"] == sample_run.summary["model"]["weights_sha256"]
    assert summary["metrics"] == sample_run.summary["metrics"]
    assert Path(summary["model"]["path"], "assets", "labels.txt").read_text() == "5\n6\n7\n8\n9\n"
    assert graft("models", "verify", workdir).code == 0


def test_no_flipped_byte_of_a_hundred_is_certified(workdir: Path) -> None:
    """In the artifacts: not used by the next run. In a version: told by `graft models verify`."""
    artifacts = {
        Path(artifact.uri): artifact for outputs in made_by_each_node(workdir).values() for artifact in outputs.values()
    }
    (version,) = served_versions(workdir)
    serving, number = workdir / "serving", random.Random(100)
    places = [*artifacts, serving / version]
    for flip in range(FLIPS):
        folder = number.choice([place for place in places if files_of(place)])
        file = number.choice(files_of(folder))
        before = file.read_bytes()
        flip_byte(file, number)
        if folder in artifacts:
            assert find_artifact_damage(artifacts[folder]), (flip, file)
        else:
            assert not verify_version(serving, int(version)).clean, (flip, file)
        file.write_bytes(before)
    assert verify_version(serving, int(version)).clean


def test_a_second_run_executes_nothing_a_changed_gate_only_what_follows(place: Place, sample_run: Run) -> None:
    before, workdir = served_versions(place.workdir), place.workdir
    again = place.run()
    summary = read_summary(workdir)
    assert again.code == 0, again.out + again.err
    assert sorted(summary["cached"]) == sorted(NODES)
    assert summary["status"] == "unchanged"
    assert served_versions(workdir) == before
    assert summary["metrics"] == sample_run.summary["metrics"]

    refused = place.run("--set", "gates.quality.min_accuracy=1.0")
    summary = read_summary(workdir)
    assert refused.code == 3, refused.out + refused.err
    assert summary["status"] == "not_blessed"
    assert "is below gates.quality.min_accuracy 1.0000" in summary["reasons"][0]
    assert set(NODES) - set(summary["cached"]) == {"Evaluator", "Pusher", "Report"}
    assert served_versions(workdir) == before


def test_an_override_runs_its_gate_and_the_pusher_again_and_is_recorded(place: Place) -> None:
    strict = ("--set", "gates.quality.min_accuracy=1.0", "--override", "quality", "--reason", "a trial of the override")
    finished = place.run(*strict)
    summary = read_summary(place.workdir)
    assert finished.code == 0, finished.out + finished.err
    assert set(NODES) - set(summary["cached"]) == {"Evaluator", "Pusher", "Report"}
    assert summary["override"]["gates"] == ["quality"]
    assert summary["override"]["reason"] == "a trial of the override"
    assert summary["gates"]["quality"]["passed"] is False
    assert "quality gate: said no, overridden by " in finished.out
    assert "is below gates.quality.min_accuracy 1.0000" in finished.out
    assert place.run("--override", "quality").code == 2


def test_edited_source_and_changed_image_execute_what_depends_on_them(place: Place) -> None:
    workdir = place.workdir
    with open(place.tree / "components" / "registry" / "publish.py", "a", encoding="utf-8") as file:
        file.write("\nEDITED = True\n")
    assert place.run().code == 0
    assert set(NODES) - set(read_summary(workdir)["cached"]) == {"Pusher", "Report"}

    first, second, *_ = sorted((place.digits / "7").iterdir())
    first.write_bytes(second.read_bytes())
    finished = place.run()
    summary = read_summary(workdir)
    assert finished.code == 0, finished.out + finished.err
    assert summary["cached"] == ["ImportSchemaGen"]
    assert summary["dataset"]["duplicates"] == 1
    assert summary["baseline"]["version"] == int(served_versions(workdir)[0])
    assert summary["status"] == "pushed"
    first, second = served_versions(workdir)
    assert summary["served"] == int(second)

    assert graft("models", "rollback", workdir, cwd=place.tree).code == 0
    finished = place.run()
    summary = read_summary(workdir)
    assert finished.code == 0, finished.out + finished.err
    assert (summary["status"], summary["served"]) == ("unchanged", int(first))
    assert sorted(summary["cached"]) == sorted(NODES)
    assert f"Not served: version {second}" in finished.out
    assert "was taken back by rollback" in summary["reasons"][-1]
