"""A service is one module and one row: a toy that keeps what it gets in a folder goes through every command."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml

from components.errors import InputError
from pipeline.config.configuration import Config
from pipeline.config.kubeflow import KubeflowOptions, Resources
from pipeline.kubeflow.compile.checks import check_compilable
from pipeline.kubeflow.service import Change, RunRequest, RunState, Schedule, Submitted, WatchedTask, no_such_schedule
from pipeline.kubeflow.services import SERVICES
from tests.pipeline.kubeflow.conftest import Ended, make_config

Graft = Callable[..., Ended]


class Toy:
    """What the module of a service exposes; see `pipeline.kubeflow.service.Service`."""

    NAME = "toy"
    TITLE = "a toy on this disk"
    ROOT_SCHEMES = ("gs",)
    POD_PATHS = "a path below /toy"
    RETRY_WINDOW = 60
    HOLDS_DATABASES = True
    DRIVER = "kubeflow"

    @dataclass(frozen=True)
    class Address:
        playground: Annotated[str, typer.Option(help="Folder of the toy.")] = ""

    def has_path(self, config: Config, path: str) -> bool:
        return path.startswith("/toy/")

    def check(self, config: Config) -> Iterator[str]:
        if config.kubeflow.secrets:
            yield "kubeflow.secrets: expected none, for a toy keeps no secret"

    def gpu_type(self, resources: Resources) -> str:
        return "toy.com/gpu"

    def platform(self, cluster: KubeflowOptions, nodes: list[str], labels: dict[str, str]) -> dict[str, Any]:
        return {"platforms": {"toy": {"nodes": nodes}}}

    def connect(self, address: Any) -> ToyConnection:
        if not address.playground:
            raise InputError("No playground is given.\nAdd --playground DIR.")
        return ToyConnection(Path(address.playground))


@dataclass
class ToyConnection:
    """Runs are files; each look at a run finds one more of its nodes done, until the file `refused` stops it."""

    folder: Path

    def submit(self, request: RunRequest) -> Submitted:
        path = self.folder / f"{request.name}.run"
        existed = path.exists()
        path.write_text(json.dumps({"done": 0, "parameters": request.parameters}))
        link, sent = f"toy:{request.name}", request.package.sent_with(request.parameters)
        return Submitted(str(path), request.name, link, existed, sent)

    def look(self, identity: str, nodes: tuple[str, ...]) -> RunState:
        run = json.loads(Path(identity).read_text())
        Path(identity).write_text(json.dumps({**run, "done": run["done"] + 1}))
        tasks = [WatchedTask(node, "SUCCEEDED") for node in nodes[: run["done"]]]
        if (self.folder / "refused").exists() and run["done"]:
            return RunState("FAILED", (*tasks, WatchedTask("Pusher", "FAILED", error="The quality gate said no: 0.4")))
        return RunState("SUCCEEDED" if run["done"] >= len(nodes) else "RUNNING", tuple(tasks))

    def schedule(self, request: RunRequest, cron: str) -> Change:
        known = {one.name: one for one in self.list_schedules()}
        made = Schedule(f"id-{request.name}", request.name, cron, True, request.package.digest, "2026-01-02T03:04:05")
        self._keep({**known, request.name: made})
        return Change("updated" if request.name in known else "created", made)

    def list_schedules(self) -> list[Schedule]:
        path = self.folder / "schedules"
        return [Schedule(**row) for row in json.loads(path.read_text())] if path.exists() else []

    def pause(self, name: str) -> None:
        self._change(name, enabled=False)

    def resume(self, name: str) -> None:
        self._change(name, enabled=True)

    def delete(self, name: str, force: bool) -> None:
        self._keep({one.name: one for one in self.list_schedules() if one.name != self._find(name).name})

    def describe(self, schedule: Schedule) -> str:
        return f"toy:{schedule.identity}"

    def _find(self, name: str) -> Schedule:
        known = {one.name: one for one in self.list_schedules()}
        if name not in known:
            raise no_such_schedule(name, set(known))
        return known[name]

    def _change(self, name: str, enabled: bool) -> None:
        changed = replace(self._find(name), enabled=enabled)
        self._keep({**{one.name: one for one in self.list_schedules()}, name: changed})

    def _keep(self, schedules: dict[str, Schedule]) -> None:
        (self.folder / "schedules").write_text(json.dumps([vars(one) for one in schedules.values()]))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Graft:
    """The command line as it is with the row in the table: its modules read the table when they are imported."""
    monkeypatch.setitem(SERVICES, "toy", Toy())
    for name in [name for name in sys.modules if name.partition(".cli")[0] == "pipeline" and ".cli" in name]:
        monkeypatch.delitem(sys.modules, name)
    main = importlib.import_module("pipeline.__main__").main
    importlib.import_module("pipeline.cli")

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["graft", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def at(tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "playground").mkdir()
    return ("--target", "toy", "--playground", tmp_path / "playground")


def in_toy(**sections: Any) -> Config:
    cluster = {"workdir": "/toy/graft", "volumes": [], **sections.pop("kubeflow", {})}
    return make_config(data={"path": "/toy/photos"}, kubeflow=cluster, **sections)


def test_a_toy_compiles_with_what_its_row_says(toy: Graft, tmp_path: Path) -> None:
    gpus = {"nodes": {"Trainer": {"gpu_count": 1, "retries": 2}}}
    (tmp_path / "config.yaml").write_text(in_toy(kubeflow=gpus).to_yaml(), "utf-8")
    done = toy("compile", tmp_path / "config.yaml", "--target", "toy", "-o", tmp_path / "toy.yaml")
    assert done.code == 0, done.err
    assert done.out.startswith("Compiled night for toy: ")
    spec, platform = yaml.safe_load_all((tmp_path / "toy.yaml").read_text("utf-8"))
    assert "Trainer" in platform["platforms"]["toy"]["nodes"]
    container = spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    assert container["resources"]["accelerator"] == {"count": "1", "type": "toy.com/gpu"}
    assert spec["root"]["dag"]["tasks"]["Trainer"]["retryPolicy"]["backoffMaxDuration"] == "60s"
    there = toy("submit", tmp_path / "toy.yaml", "--target", "toy", "--playground", tmp_path, "--name", "a")
    assert there.code == 0, there.err
    assert (tmp_path / "a.run").is_file()


def test_what_a_toy_would_refuse_is_said() -> None:
    secret = {"name": "s", "env": {"key": "KEY"}}
    config = make_config(kubeflow={"pipeline_root": "s3://bucket/root", "secrets": [secret]})
    with pytest.raises(InputError) as error:
        check_compilable(config, Toy())
    said = str(error.value)
    assert said.startswith("The configuration cannot be compiled for toy:\n")
    assert "kubeflow.pipeline_root: expected gs://BUCKET/FOLDER, found s3://bucket/root" in said
    assert "say where it lies in a pod with kubeflow.data_path: a path below /toy" in said
    assert "a toy keeps no secret" in said


def test_a_run_on_a_toy_is_watched_to_its_end(
    toy: Graft, at: tuple[object, ...], pipeline_file: Path, tmp_path: Path
) -> None:
    done = toy("submit", pipeline_file, *at, "--name", "first", "--param", "trainer_epochs=9", "--wait")
    assert done.code == 0, done.err
    assert done.out.startswith("Submitted: first\n")
    for words in ("  run         toy:first", "✓ Plan", "✓ Pusher", "Succeeded"):
        assert words in done.out
    kept = json.loads((tmp_path / "playground" / "first.run").read_text())
    assert kept["parameters"] == {"trainer_epochs": 9}
    (tmp_path / "playground" / "refused").touch()
    refused = toy("submit", pipeline_file, *at, "--name", "second", "--wait")
    assert refused.code == 3
    assert "Pusher: The quality gate said no: 0.4" in refused.out
    assert toy("submit", pipeline_file, "--target", "toy").err == (
        "Error: No playground is given.\nAdd --playground DIR.\n"
    )


def test_schedules_of_a_toy(toy: Graft, at: tuple[object, ...], pipeline_file: Path) -> None:
    made = toy("schedule", pipeline_file, *at, "--cron", "0 0 3 * * *", "--name", "nightly")
    assert made.code == 0, made.err
    assert made.out.startswith("Created: schedule nightly, active\n")
    assert "  schedule    toy:id-nightly\n" in made.out
    assert "2026-01-02 03:04:05" in toy("schedule", "list", *at).out
    assert toy("schedule", "pause", "nightly", *at).out == "Paused: schedule nightly\n"
    assert "paused" in toy("schedule", "list", *at).out
    assert toy("schedule", "resume", "nightly", *at).code == 0
    assert "Did you mean 'nightly'?" in toy("schedule", "delete", "nightl", *at).err
    assert toy("schedule", "delete", "nightly", *at).out == "Deleted: schedule nightly\n"
    assert toy("schedule", "list", *at).out == "Graft has no schedule here.\n"


def test_help_and_choices_come_from_the_table(toy: Graft, pipeline_file: Path) -> None:
    for command in (("compile",), ("submit",), ("schedule", "set"), ("execute",)):
        assert "kfp|vertex|toy" in toy(*command, "--help").out.replace("\n", "").replace(" ", "")
    assert "--playground" in toy("schedule", "list", "--help").out
    refused = toy("submit", pipeline_file, "--target", "toi")
    assert refused.code == 2
    assert "'toi' is not one of 'kfp', 'vertex', 'toy'" in refused.err.replace("\n", " ")
