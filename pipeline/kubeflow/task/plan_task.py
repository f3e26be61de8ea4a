"""The task `Plan`: on a cluster it finds out what `graft run` finds out before its DAG.

It looks at the data, refuses what is not usable, and gives the other tasks what their results depend on: the data's
fingerprint, the version to compare with, and the digest of all that decides the model. Kubeflow's cache goes by
parameters, not by contents: with these values among them, an unchanged folder is a cache hit and a changed picture is
not. This task itself is never cached.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from components.contract.secrets import refuse_secrets
from components.errors import InputError
from components.example_gen.admission import describe_scan, refuse_data
from components.example_gen.history import open_history
from components.example_gen.scan import ScanSettings, scan_data
from components.process.lines import library_versions
from components.registry import versions
from components.sources.find import list_sources
from pipeline import sample
from pipeline.config.configuration import Config, check_config, model_key
from pipeline.fingerprint import code_digest, node_fingerprints, source_fingerprints
from pipeline.kubeflow.compile import pointers
from pipeline.kubeflow.task import pod
from pipeline.kubeflow.task.pod import to_local
from pipeline.process.progress import quiet_tensorflow
from pipeline.run.planning import find_baselines, hash_weights
from pipeline.run.trial import try_early
from pipeline.workdir import Workdir

progress = logging.getLogger("graft.progress")


def main(argv: list[str]) -> None:
    """Finds the values and writes each into the file that the platform named for it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.task.plan_task", description=__doc__)
    parser.add_argument("--config", required=True, help="the configuration as JSON")
    parser.add_argument("--data_path", required=True, help="as data.path of a configuration")
    parser.add_argument("--data_fingerprint", default="", help="of the data, where it is known; empty: look at it")
    parser.add_argument("--workdir", required=True, help="working directory on a mounted volume")
    parser.add_argument("--weights_sha256", default="", help="what the weights must have")
    parser.add_argument("--code", required=True, help="digest of the sources that the pipeline was compiled from")
    parser.add_argument("--remember", choices=("true", "false"), default="true", help="keep what is known of files")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="section.key=value")
    parser.add_argument("--output", action="append", default=[], help="name=file, for each value")
    arguments = parser.parse_args(argv)
    config = read_config(arguments.config, arguments.settings)
    check_pod(config, arguments.code, arguments.weights_sha256)
    workdir = Workdir(Path(arguments.workdir))
    workdir.create()
    try_early(config, workdir.root / "features", arguments.weights_sha256, quiet_tensorflow, False, files=True)
    planned = make_plan(config, workdir, arguments.data_path, arguments.data_fingerprint, arguments.remember == "true")
    for output in arguments.output:
        name, _, place = output.partition("=")
        path = Path(to_local(place))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(planned[name], "utf-8")


def read_config(text: str, settings: list[str]) -> Config:
    """Reads the compiled configuration with this run's options.

    Raises:
        InputError: an option has a value that is not allowed.
    """
    return check_config(change_config(text, settings), "this run")


def change_config(text: str, settings: list[str]) -> Any:
    """Reads a configuration in JSON as plain values, with other values for some of its options.

    Raises:
        InputError: a value is no number where one is expected.
    """
    content: Any = json.loads(text)
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            content = pointers.replace(content, tuple(name.split(".")), value)
        except ValueError as error:
            raise InputError(f"{name}: expected a number, got '{value}'.") from error
    return content


def check_pod(config: Config, code: str, weights_sha256: str) -> None:
    """Holds the code in the image and the weights on the volumes against what was compiled.

    Raises:
        InputError: other code, or other weights: cached results would not be what they seem.
    """
    if code_digest() != code:
        raise InputError(
            f"kubeflow.image: expected the code that this pipeline was compiled from (digest {code}), found other code "
            f"({code_digest()}) in the image.\nBuild the image from the same revision, or compile again."
        )
    found = hash_weights(config.trainer)
    if found != weights_sha256:
        raise InputError(
            f"trainer.weights: expected what the pipeline was compiled with (sha256 {weights_sha256[:16] or 'none'}), "
            f"found {found[:16] or 'none'} at {config.trainer.weights} in the pod.\n"
            "Put the same file there, or compile again."
        )


def make_plan(config: Config, workdir: Workdir, data_path: str, fingerprint: str, remembers: bool) -> dict[str, str]:
    """Finds the values that other tasks wait for, by name.

    Args:
        config: of this run.
        workdir: with the serving directory.
        data_path: as given to the run.
        fingerprint: of the data; empty: it is looked at.
        remembers: whether `data.sqlite` is used.

    Raises:
        InputError: the data is unusable.
        GateRefused: too much of it is.
    """
    refuse_secrets(data_path, "data_path")
    if not data_path:
        raise InputError("data_path: no data is given.\nGive the runtime parameter data_path, or compile with --data.")
    path = str(sample.write_sample(data_path, workdir.root / "sample")) if sample.is_sample(data_path) else data_path
    closing = f"fingerprint {fingerprint[:12]} as given"
    if not fingerprint:
        started, listing = time.monotonic(), list_sources(path, config.data)
        with open_history(str(workdir.memory) if remembers else "") as memory:
            scan = scan_data(listing, config.data, memory, ScanSettings(_report))
        refuse_data(scan, config.data)
        fingerprint, closing = scan.dataset["fingerprint"], describe_scan(scan, time.monotonic() - started)
    fingerprints = node_fingerprints(source_fingerprints(), library_versions())
    key = model_key(config, fingerprint, fingerprints, hash_weights(config.trainer))
    parent, best = find_baselines(workdir.serving, key, enable_cache=True)
    served = versions.served_version(workdir.serving)
    compared = "no version is served" if served is None else f"served {served}, compared with {parent or 'none'}"
    progress.info(f"{closing}; {compared}", extra={"done": True})
    return {
        "data_path": path,
        "data_fingerprint": fingerprint,
        "baseline": "none" if parent is None else str(parent),
        "best": "none" if best is None else str(best.version),
        "model_key": key,
    }


def _report(done: int, total: int) -> None:
    progress.info(f"{done:,} of {total:,} files")


if __name__ == "__main__":
    pod.log_to_stderr()
    pod.run_and_leave(lambda: main(sys.argv[1:]))
