"""Arguments of Beam for each node, the same for a run on this machine and for a compiled task.

What users call the DirectRunner is always Beam's in-process runner, by its full name: the DirectRunner of Beam 2.77 is
a switch that first downloads another engine (Prism), and waits without a time-out where the network does not answer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import InputError
from components.files.paths import is_remote
from components.options.beam import BeamNodeOptions, BeamOptions

BEAM_NODES = ("ImageExampleGen", "StatisticsGen", "Transform", "Evaluator")
FEATURE_PASS_NODE = "Trainer"  # it has a Beam pipeline with `trainer.feature_pass: beam`
DIRECT = "DirectRunner"
FN_API_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
IN_PROCESS = ["--direct_running_mode=in_memory", "--direct_num_workers=1", "--pickle_library=cloudpickle"]
# Planning is most of a small pipeline's time: cloudpickle, Beam 2.77's default, takes less of it than dill does.
# Without the name of an image, TFX packs itself into an sdist for remote workers at each node: 2 s, and a copy of TFX
# left in the temporary folder. Where no container is started, any name will do.
NO_IMAGE = "--sdk_container_image=none"
WORKERS_HAVE_IT = ("EXTERNAL", "PROCESS", "LOOPBACK")


@dataclass(frozen=True)
class Engine:
    """Where the workers of a Beam runner are.

    Attributes:
        argument: of Beam, that says where the engine is; empty: it is never this machine.
        begun_here: values of the argument that mean an engine which is begun on this machine.
    """

    argument: str = ""
    begun_here: tuple[str, ...] = ()


# By the runner's name in small letters. A runner without a row runs as well: nothing then says where its workers are,
# so a path that they do not see is found by them, and not before the run.
ENGINES = {
    "flinkrunner": Engine("flink_master", ("", "[auto]", "[local]")),
    "sparkrunner": Engine("spark_master_url", ("", "local", "local[*]", "local[4]")),
    "portablerunner": Engine("job_endpoint", ("", "embed")),
    "dataflowrunner": Engine(),
}
PACKAGES = ("--sdk_container_image", "--setup_file", "--extra_package", "--requirements_file")


def beam_args(options: BeamOptions, node: str) -> list[str]:
    """Gives runner and arguments of one node.

    Args:
        options: the `beam:` section.
        node: id in the pipeline.

    Returns:
        Arguments in the order in which Beam reads them: a later one counts.
    """
    own = options.nodes.get(node, BeamNodeOptions())  # type: ignore[call-overload]
    runner = own.runner or options.runner
    given = [*options.args, *own.args]
    args = name_runner([f"--runner={runner}", *given])
    starts_none = workers_share_the_disk(args) or _value(args, "environment_type") in WORKERS_HAVE_IT
    if starts_none and not any(arg.startswith(PACKAGES) for arg in given):
        args.append(NO_IMAGE)
    return args


def name_runner(args: Iterable[str]) -> list[str]:
    """Gives arguments of Beam in which the in-process runner has its full name, its settings before the given ones.

    Args:
        args: of Beam; one that names no runner means the in-process one, whatever Beam's default is.

    Returns:
        `--runner=NAME` first, then all others in their order.
    """
    others, runner, rest = list[str](), DIRECT, iter(args)
    for arg in rest:
        if arg == "--runner":
            runner = next(rest, DIRECT)
        elif arg.startswith("--runner="):
            runner = arg.partition("=")[2]
        else:
            others.append(arg)
    is_direct = is_in_process(runner)
    return [f"--runner={FN_API_RUNNER if is_direct else runner}", *(IN_PROCESS if is_direct else []), *others]


def is_in_process(runner: str) -> bool:
    """Tells whether a runner works in the process of the node, by any of its names in Beam."""
    return runner.rpartition(".")[2].lower() in ("direct", "directrunner", "switchingdirectrunner", "fnapirunner")


def workers_share_the_disk(args: list[str]) -> bool:
    """Tells whether what a node writes to its own disk is there for its Beam workers, wherever it runs.

    Only LOOPBACK's workers run in the node as those in the process do. EXTERNAL and PROCESS mean beside the workers of
    the engine: for a task on a cluster these are other pods.
    """
    return is_in_process(_runner(args)) or _value(args, "environment_type") == "LOOPBACK"


def why_unseen(args: list[str]) -> str:
    """Finds why the workers cannot see the disk of this machine, where `graft` itself runs.

    Returns:
        What says so, such as `--job_endpoint=flink:8099`; empty where they see it or nothing says where they are.
    """
    runner, environment = _runner(args).rpartition(".")[2], _value(args, "environment_type")
    engine = ENGINES.get(runner.lower())
    if engine is None or workers_share_the_disk(args):
        return ""
    if not engine.argument:
        return runner
    place = _value(args, engine.argument)
    if place not in engine.begun_here and not _is_here(place):
        return f"--{engine.argument}={place}"
    in_container = environment == "DOCKER" or (not environment and place not in engine.begun_here)
    return "--environment_type=DOCKER" if in_container else ""


def refuse_unseen_by_nodes(options: BeamOptions, paths: Mapping[str, str], feature_pass: str = "local") -> None:
    """Applies `refuse_unseen` to every node that uses Beam, the Trainer among them where `feature_pass` is `beam`."""
    for node in (*BEAM_NODES, *([FEATURE_PASS_NODE] if feature_pass == "beam" else [])):
        refuse_unseen(beam_args(options, node), paths, options.shared_path, "beam.shared_path")


def refuse_unseen(args: list[str], paths: Mapping[str, str], shared_path: str | None, mended_by: str) -> None:
    """Refuses local paths that Beam's workers cannot see.

    Args:
        args: of Beam.
        paths: by the name for the message; empty ones and buckets are passed over.
        shared_path: the folder that the workers see.
        mended_by: how the user names that folder.

    Raises:
        InputError: the workers are elsewhere, and a path is not below the folder that they see.
    """
    reason = why_unseen(args)
    for name, path in paths.items() if reason else ():
        if (
            not path
            or is_remote(path)
            or (shared_path and Path(path).resolve().is_relative_to(Path(shared_path).resolve()))
        ):
            continue
        raise InputError(
            f"{name}: expected a bucket, or a path that Beam's workers see, found {path}: with {reason} they run "
            f"elsewhere{f', and see {shared_path}' if shared_path else ''}.\nUse a shared folder, mounted at the same "
            f"path there, and say so with {mended_by}; workers in this process: --environment_type=LOOPBACK."
        )


def _runner(args: list[str]) -> str:
    return name_runner(args)[0].partition("=")[2]


def _value(args: list[str], name: str) -> str:
    """Finds the value of an argument, `--name=value` or in two words; the last one counts; empty: none is given."""
    found = ""
    for index, arg in enumerate(args):
        if arg == f"--{name}":
            found = args[index + 1] if index + 1 < len(args) else ""
        elif arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
    return found


def _is_here(place: str) -> bool:
    """Tells whether the host of `host:port` or of a URL is this machine."""
    host = (urlsplit(place if "://" in place else f"//{place}").hostname or "").lower()
    return host in ("localhost", "::1", socket.gethostname().lower()) or host.startswith("127.")


def make_in_process_default() -> None:
    """Makes the in-process runner that of pipelines which name none, such as the one that TFX runs the DAG with."""
    from apache_beam.options.pipeline_options import StandardOptions

    StandardOptions.DEFAULT_RUNNER = FN_API_RUNNER
