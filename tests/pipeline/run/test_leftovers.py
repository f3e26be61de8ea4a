"""What a killed run leaves in the working directory, and a database that cannot be used."""

import json
import os
import shutil
import sqlite3

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from components.errors import InputError
from pipeline.run.leftovers import check_metadata, remove_unfinished, tidy
from pipeline.workdir import Workdir


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with one execution of each state, by the library that writes it."""
    path = tmp_path_factory.mktemp("mlmd") / "metadata.sqlite"
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    store = metadata_store.MetadataStore(config)
    kind = store.put_execution_type(proto.ExecutionType(name="Trainer"))
    states = [proto.Execution.COMPLETE, proto.Execution.RUNNING, proto.Execution.FAILED, proto.Execution.CACHED]
    store.put_executions([proto.Execution(type_id=kind, last_known_state=state) for state in states])
    return path


@pytest.fixture
def workdir(tmp_path, made):
    workdir = Workdir(tmp_path)
    workdir.create()
    shutil.copy(made, workdir.metadata)
    return workdir


def lay(workdir, *paths):
    for path in paths:
        (workdir.root / path).parent.mkdir(parents=True, exist_ok=True)
        (workdir.root / path).write_bytes(b"half")


OUTPUTS = [f"artifacts/Trainer/model/{number}/file" for number in (1, 2, 3, 4)]
OTHERS = ["artifacts/pipeline/20260101-000000-aaaa/Trainer/model/2", "artifacts/pipeline/tasks/1.json"]


def test_only_outputs_of_complete_executions_stay(workdir):
    scratch = "artifacts/Trainer/.system/executor_execution/2/.temp/file"
    lay(workdir, *OUTPUTS, *OTHERS, scratch, "artifacts/Trainer/.system/stateful_working_dir/abc/file")
    remove_unfinished(workdir)
    left = [path for path in (*OUTPUTS, *OTHERS) if (workdir.root / path).exists()]
    assert left == [OUTPUTS[0], OUTPUTS[3], *OTHERS]
    assert not (workdir.root / scratch).exists()
    assert not list((workdir.root / "artifacts/Trainer/.system/stateful_working_dir").iterdir())


@pytest.mark.parametrize("spoil", [os.remove, lambda path: os.truncate(path, 0)], ids=["removed", "empty"])
def test_without_metadata_old_outputs_do_not_meet_new_numbers(workdir, spoil):
    lay(workdir, *OUTPUTS, *OTHERS)
    spoil(workdir.metadata)
    check_metadata(workdir.metadata)
    remove_unfinished(workdir)
    assert not any((workdir.root / path).exists() for path in OUTPUTS)
    assert all((workdir.root / path).exists() for path in OTHERS)


def test_partial_files_go_and_a_run_without_a_record_gets_one(workdir):
    partial = ["runs/1/summary.json.1.partial", "features/abc/x.parquet.1.partial", "sample/.partial-digits-7/0/1.png"]
    kept = ["features/abc/x.parquet", "sample/digits/0/1.png", "runs/2/summary.json", "serving/.partial-1/file"]
    lay(workdir, *partial, *kept)
    (workdir.runs / ".latest-7").symlink_to("1")
    (workdir.runs / "latest").symlink_to("2")
    tidy(workdir)
    assert not any((workdir.root / path).exists() for path in partial)
    assert all((workdir.root / path).read_bytes() == b"half" for path in kept)
    assert not os.path.lexists(workdir.runs / ".latest-7")
    summary = json.loads((workdir.runs / "1" / "summary.json").read_text())
    assert (summary["run_id"], summary["status"]) == ("1", "interrupted")
    assert "killed" in summary["reasons"][0]


def test_a_whole_database_is_left_alone(workdir, made):
    check_metadata(workdir.metadata)
    assert workdir.metadata.read_bytes() == made.read_bytes()


def garbage(path):
    path.write_bytes(os.urandom(50_000))


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def middle(path):
    with open(path, "r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)


def execute(statement):
    def change(path):
        database = sqlite3.connect(path)
        database.execute(statement)
        database.commit()
        database.close()

    return change


@pytest.mark.parametrize(
    "damage", [garbage, cut, middle, execute("DROP TABLE Event"), execute("ALTER TABLE Execution RENAME TO Other")]
)
def test_a_damaged_database_is_named_with_the_way_out(workdir, damage):
    damage(workdir.metadata)
    with pytest.raises(InputError, match="damaged content") as caught:
        check_metadata(workdir.metadata)
    assert f"rm '{workdir.metadata}'" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_database_that_another_program_holds_is_not_called_damaged(workdir, monkeypatch):
    monkeypatch.setattr("pipeline.run.leftovers.LOCK_SECONDS", 0.05)
    other = sqlite3.connect(workdir.metadata)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="another program holds this database"):
        check_metadata(workdir.metadata)
    other.close()
    check_metadata(workdir.metadata)


def test_a_folder_in_its_place_is_named(workdir):
    workdir.metadata.unlink()
    workdir.metadata.mkdir()
    with pytest.raises(InputError, match="unable to open"):
        check_metadata(workdir.metadata)
