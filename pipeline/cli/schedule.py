"""`graft schedule`: recurring runs, one a name."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from components.errors import InputError
from pipeline.cli.app import app
from pipeline.cli.cluster import ServiceOptions, SubmissionOptions, flattened, services_answer
from pipeline.kubeflow.service import CRON_HINT, Change, RunRequest, Schedule

HOST = "--host https://kubeflow.example.org/pipeline"


class ConfigOrCommand(TyperGroup):
    """`graft schedule CONFIG ...` is short for `graft schedule set CONFIG ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the word in where the first argument is no command of the group."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["set", *args]
        return super().parse_args(ctx, args)


schedule = typer.Typer(
    help="Recurring runs on Kubeflow or Vertex: graft schedule CONFIG --cron TIMES.",
    no_args_is_help=True,
    cls=ConfigOrCommand,
)
app.add_typer(schedule, name="schedule")

Name = Annotated[str, typer.Argument(help="Of the schedule.")]


@schedule.command("set", epilog=f'Example: graft schedule configs/kubeflow.yaml {HOST} --cron "0 0 3 * * *"')
@flattened
def schedule_set(
    what: SubmissionOptions,
    where: ServiceOptions,
    cron: Annotated[str, typer.Option(help='Six fields, seconds first: "0 0 3 * * *" is every night at three, UTC.')],
    name: Annotated[str | None, typer.Option(help="Of the schedule. Default: the pipeline's name.")] = None,
) -> None:
    """Makes a schedule, or changes the one of that name; the same again changes nothing.

    At no time are two of a name active, and a change that fails is taken back. A paused schedule stays paused.
    The word `set` may be left out.
    """
    times = _six_fields(cron)
    with services_answer(), what.package(where.service) as package:
        values = package.check_parameters(what.parameters or [])
        connection = where.connect()
        request = RunRequest(package, name or package.name, what.experiment or package.name, values, what.account)
        change = connection.schedule(request, times)
        pipeline = f"{package.name}, {len(package.nodes)} tasks, digest {package.digest}"
        link = connection.describe(change.schedule)
        _describe(change, {"cron": times, "pipeline": pipeline, **values, "schedule": link})


def _six_fields(cron: str) -> str:
    """Puts single spaces between the fields; what they hold, the service checks.

    Raises:
        InputError: there are not six.
    """
    fields = cron.split()
    if len(fields) == 5:
        raise InputError(
            f"--cron: expected six fields, seconds first, got five: '{cron}'.\nMeant is probably --cron \"0 {cron}\"."
        )
    if len(fields) != 6:
        raise InputError(f"--cron: expected six fields, seconds first, got '{cron}'.\n{CRON_HINT}")
    return " ".join(fields)


def _describe(change: Change, facts: dict[str, object]) -> None:
    print(f"{change.what.capitalize()}: schedule {change.schedule.name}, {_state(change.schedule)}")
    for key, value in facts.items():
        print(f"  {key:<11} {value}")
    for note in change.notes:
        print(f"  note        {note}")


@schedule.command("list", epilog=f"Example: graft schedule list {HOST}")
@flattened
def schedule_list(where: ServiceOptions) -> None:
    """Lists the schedules that Graft made."""
    with services_answer():
        rows = where.connect().list_schedules()
    if not rows:
        print("Graft has no schedule here.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "cron", "state", "created", "id"):
        table.add_column(title, overflow="fold")
    seen: set[str] = set()
    for row in sorted(rows, key=lambda one: (one.name, not one.enabled)):
        state = _state(row) if row.name not in seen else "superseded"
        seen.add(row.name)
        table.add_row(row.name, row.cron, state, row.created[:19].replace("T", " "), row.identity)
    Console(highlight=False).print(table)


@schedule.command("pause", epilog=f"Example: graft schedule pause nightly {HOST}")
@flattened
def schedule_pause(name: Name, where: ServiceOptions) -> None:
    """Stops a schedule from starting runs; a run under way goes on."""
    with services_answer():
        where.connect().pause(name)
    print(f"Paused: schedule {name}")


@schedule.command("resume", epilog=f"Example: graft schedule resume nightly {HOST}")
@flattened
def schedule_resume(name: Name, where: ServiceOptions) -> None:
    """Lets a paused schedule start runs again; what it missed is not made up for."""
    with services_answer():
        where.connect().resume(name)
    print(f"Active: schedule {name}")


@schedule.command("delete", epilog=f"Example: graft schedule delete nightly {HOST}")
@flattened
def schedule_delete(
    name: Name,
    where: ServiceOptions,
    force: Annotated[
        bool, typer.Option("--force", help="Also while a run of it is under way: Kubeflow stops that run.")
    ] = False,
) -> None:
    """Deletes a schedule. On Vertex, a run under way goes on; Kubeflow would stop it, so Graft asks for --force."""
    with services_answer():
        where.connect().delete(name, force)
    print(f"Deleted: schedule {name}")


def _state(schedule: Schedule) -> str:
    return "active" if schedule.enabled else "paused"
