"""Options and errors that the commands on a service share: which service, where it is, and what is to run there."""

from __future__ import annotations

import functools
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from components.errors import InputError
from pipeline.config.configuration import Config, load_config
from pipeline.kubeflow.compile.checks import check_compilable
from pipeline.kubeflow.service import Connection, Service, ServiceError
from pipeline.kubeflow.services import SERVICES
from pipeline.process.progress import quiet_tensorflow

if TYPE_CHECKING:
    from pipeline.kubeflow.compile.compile import Compiled
    from pipeline.kubeflow.compiled import Package

DEFAULT = next(iter(SERVICES))
NAMES = f"[{'|'.join(SERVICES)}]"


def check_name(value: str) -> str:
    """Refuses a name that is none of a service.

    Raises:
        BadParameter: with the names there are.
    """
    if value not in SERVICES:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, SERVICES))}.")
    return value


Target = Annotated[
    str,
    typer.Option(
        metavar=NAMES,
        callback=check_name,
        help=f"Where it runs: {', '.join(one.TITLE for one in SERVICES.values())}.",
    ),
]
PARTS = "parts"  # in the metadata of a field: dataclasses whose fields are options, too, and become its values by name


@dataclass(frozen=True)
class ServiceOptions:
    """Options that say where pipelines run: the service, and what the services ask for to be found."""

    target: Target = DEFAULT
    address: dict[str, Any] = field(
        default_factory=dict, metadata={PARTS: [service.Address for service in SERVICES.values()]}
    )

    @property
    def service(self) -> Service:
        """Gives the service that `--target` names."""
        return SERVICES[self.target]

    def connect(self) -> Connection:
        """Makes the service's client.

        Raises:
            InputError: the address or the credentials are not usable.
        """
        kind = self.service.Address
        return self.service.connect(kind(**{option.name: self.address[option.name] for option in fields(kind)}))


@dataclass(frozen=True)
class SubmissionOptions:
    """Options that say what is to run."""

    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="YAML file with a `kubeflow:` section, or a compiled pipeline.")
    ]
    experiment: Annotated[str | None, typer.Option(help="Groups runs on the server. Default: the pipeline's name.")] = (
        None
    )
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A runtime parameter; may be repeated."),
    ] = None
    account: Annotated[
        str | None, typer.Option("--service-account", help="What the pods run as. Default: the server's.")
    ] = None
    data: Annotated[str | None, typer.Option(help="Where the data lies in a pod; wins over kubeflow.data_path.")] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one option; may be repeated.")
    ] = None

    @contextmanager
    def package(self, service: Service) -> Iterator[Package]:
        """Gives the compiled pipeline: the file itself, or a file that is compiled now and gone afterwards."""
        from pipeline.kubeflow.compiled import is_compiled, read_package  # loads kfp: a second

        if is_compiled(self.config):
            self._refuse_options()
            yield read_package(Path(self.config))
            return
        text = compile_for(load_for_pods(self.config, self.data, self.settings), service).to_yaml()
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(text, "utf-8")
            yield read_package(path)

    def _refuse_options(self) -> None:
        if self.settings or self.data:
            raise InputError(
                f"{self.config} is compiled already: --set and --data come too late.\n"
                "Give the configuration instead, or a runtime parameter with --param."
            )


def load_for_pods(config: str, data: str | None, settings: list[str] | None) -> Config:
    """Reads a configuration, with the data path in a pod where it is given.

    Raises:
        InputError: the configuration is not usable.
    """
    given = [f"kubeflow.data_path={json.dumps(data)}"] if data else []
    return load_config(config, [*(settings or []), *given])


def compile_for(config: Config, service: Service) -> Compiled:
    """Compiles a configuration.

    Raises:
        InputError: the service would refuse it.
    """
    check_compilable(config, service)  # first: its errors are instant
    quiet_tensorflow()
    from pipeline.kubeflow.compile.compile import compile_config  # loads TFX: seconds

    return compile_config(config, service)


@contextmanager
def services_answer() -> Iterator[None]:
    """Prints what a service failed at and leaves with code 1; it has no log of a run to point at."""
    try:
        yield
    except ServiceError as error:
        print(f"Failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def flattened(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function whose signature names the fields of its dataclass arguments, for Typer to read."""
    own = inspect.signature(function, eval_str=True).parameters
    groups: dict[str, Any] = {name: one.annotation for name, one in own.items() if is_dataclass(one.annotation)}

    @functools.wraps(function)
    def command(**values: Any) -> None:
        made = {name: _make(group, values) for name, group in groups.items()}
        function(**{name: values[name] for name in own if name not in groups}, **made)

    parameters = list(_parameters(own, groups))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _make(group: Any, values: dict[str, Any]) -> Any:
    """Makes a dataclass from the values of all options."""
    inner = {one.name: {n: values[n] for part in one.metadata[PARTS] for n in _names(part)} for one in _nested(group)}
    return group(**{name: values[name] for name in _names(group) if name not in inner}, **inner)


def _names(group: Any) -> list[str]:
    return [one.name for one in fields(group)]


def _nested(group: Any) -> list[Any]:
    return [one for one in fields(group) if PARTS in one.metadata]


def _parameters(own: Mapping[str, inspect.Parameter], groups: dict[str, Any]) -> Iterator[inspect.Parameter]:
    for name, parameter in own.items():
        if name in groups:
            yield from _options(groups[name]).values()
        else:
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _options(group: Any) -> dict[str, inspect.Parameter]:
    """Gives the options of a dataclass by name; of two services with an option of one name, the first describes it."""
    found: dict[str, inspect.Parameter] = {}
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        for part in one.metadata.get(PARTS, ()):
            found = {**_options(part), **found}
        if PARTS not in one.metadata:
            default = inspect.Parameter.empty if one.default is MISSING else one.default
            kind = inspect.Parameter.KEYWORD_ONLY
            found[one.name] = inspect.Parameter(one.name, kind, default=default, annotation=hints[one.name])
    return found
