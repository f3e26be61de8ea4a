"""Arguments of Beam for each node, the same for a run on this machine and for a compiled task.

What users call the DirectRunner is always Beam's in-process runner, by its full name: the DirectRunner of Beam 2.77 is
a switch that first downloads another engine (Prism), and waits without a time-out where the network does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from components.options import BeamNodeOptions, BeamOptions

DIRECT = "DirectRunner"
FN_API_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
IN_PROCESS = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
# Without the name of an image, TFX packs itself into an sdist for remote workers at each node: 2 s, and a copy of TFX
# left in the temporary folder. Where no container is started, any name will do.
NO_IMAGE = "--sdk_container_image=none"
WORKERS_HAVE_IT = ("--environment_type=EXTERNAL", "--environment_type=PROCESS", "--environment_type=LOOPBACK")
PACKAGES = ("--sdk_container_image", "--setup_file", "--extra_package", "--requirements_file")


def beam_args(options: BeamOptions, node: str) -> list[str]:
    """Runner and arguments of one node.

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
    if not any(arg.startswith(PACKAGES) for arg in given) and workers_share_the_disk(args):
        args.append(NO_IMAGE)
    return args


def name_runner(args: Iterable[str]) -> list[str]:
    """Arguments of Beam in which the in-process runner has its full name, and its settings before those given.

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
    """Whether a runner is the one that works in the process of the node, by any of the names that Beam knows it by."""
    return runner.rpartition(".")[2].lower() in ("direct", "directrunner", "switchingdirectrunner", "fnapirunner")


def workers_share_the_disk(args: list[str]) -> bool:
    """Whether what a node writes to its own disk is there for its Beam workers: they run beside it, or as it says."""
    return is_in_process(name_runner(args)[0].partition("=")[2]) or bool(set(args) & set(WORKERS_HAVE_IT))


def make_in_process_default() -> None:
    """Makes the in-process runner that of pipelines which name none, such as the one that TFX runs the DAG with."""
    from apache_beam.options.pipeline_options import StandardOptions

    StandardOptions.DEFAULT_RUNNER = FN_API_RUNNER
