"""Arguments of Beam for each node, the same for a run on this machine and for a compiled task."""

from __future__ import annotations

from components.options import BeamNodeOptions, BeamOptions

DIRECT = "DirectRunner"
IN_PROCESS = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
# Without the name of an image, TFX packs itself into an sdist for remote workers at each node: 2 s, and a copy of TFX
# left in the temporary folder. Where no container is started, any name will do.
NO_IMAGE = "--sdk_container_image=none"
WORKERS_HAVE_IT = ("--environment_type=EXTERNAL", "--environment_type=PROCESS", "--environment_type=LOOPBACK")
LOCAL_ARGS = (f"--runner={DIRECT}", *IN_PROCESS, NO_IMAGE)  # TFX adds labels to the list that it is given
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
    args = [f"--runner={runner}", *(IN_PROCESS if runner == DIRECT else []), *given]
    if not any(arg.startswith(PACKAGES) for arg in given) and (runner == DIRECT or set(given) & set(WORKERS_HAVE_IT)):
        args.append(NO_IMAGE)
    return args


def workers_share_the_disk(args: list[str]) -> bool:
    """Whether what a node writes to its own disk is there for its Beam workers: they run beside it, or as it says."""
    return f"--runner={DIRECT}" in args or bool(set(args) & set(WORKERS_HAVE_IT))
