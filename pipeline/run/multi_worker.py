"""`graft run` where `TF_CONFIG` names several workers: the chief runs all of it, the others join its Trainer."""

from __future__ import annotations

from pathlib import Path

from components.errors import InputError
from components.trainer.devices.tf_config import Cluster, read_cluster
from pipeline.config.configuration import Config
from pipeline.process.progress import output_to
from pipeline.process.signals import left_to_the_system
from pipeline.run.planning import RunOptions
from pipeline.run.run import run_pipeline


def run_among_workers(config: Config, root: Path, options: RunOptions) -> int:
    """Runs the pipeline, or takes part in its training, and gives the exit code: on all workers that of the chief.

    Args:
        config: checked; all workers need the same, and the same paths to examples, weights and working directory.
        root: the working directory.
        options: of the command line.

    Raises:
        InputError: `TF_CONFIG` is malformed, or as `run_pipeline`.
    """
    cluster = read_cluster()
    if cluster.workers == 1:
        return run_pipeline(config, root, options).code
    if cluster.kind == "chief":
        return _lead(config, root, options, cluster)
    return _follow(config, root, cluster)


def _lead(config: Config, root: Path, options: RunOptions, cluster: Cluster) -> int:
    print(f"chief of {cluster.workers} workers: waiting for the others to join", flush=True)
    with output_to(_log(root, cluster)), left_to_the_system():  # TensorFlow waits for the others
        from components.trainer.devices import worker_pool  # loads TensorFlow, as below: only among workers, and logged

        worker_pool.join_workers(config.trainer.devices)
    code = 1
    try:
        code = run_pipeline(config, root, options).code
    except InputError:
        code = 2
        raise
    finally:
        worker_pool.release_workers(code)
    return code


def _follow(config: Config, root: Path, cluster: Cluster) -> int:
    log = _log(root, cluster)
    with output_to(log) as console, left_to_the_system():
        console.print(f"{cluster.kind} {cluster.index} of {cluster.workers} workers: waiting for the others to join")
        from components.trainer.devices import worker_pool
        from components.trainer.train import run_fn

        code = worker_pool.follow_chief(config.trainer.devices, run_fn, lambda text: console.print(f"  {text}"))
        console.print(f"The chief's run is over, exit code {code}; what was logged here: {log}", soft_wrap=True)
    return code


def _log(root: Path, cluster: Cluster) -> Path:
    folder = root.resolve() / "workers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--workdir: cannot write into {root}: {error.strerror}.\nGive all workers one folder that each may write."
        ) from error
    return folder / f"{cluster.kind}-{cluster.index}.txt"
