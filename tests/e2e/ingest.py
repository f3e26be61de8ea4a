"""ImageExampleGen alone, on the runners that are named. Usage: python ingest.py DATA OUT RUNNER [OUT RUNNER]..."""

import sys
from pathlib import Path

from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.contract.artifacts import Manifest
from components.example_gen.executor import Executor
from components.options.beam import BeamOptions
from components.options.data import DataOptions
from pipeline.beam import beam_args
from tests.conftest import artifact


def ingest(data: str, out: Path, runner: str) -> None:
    arguments = beam_args(BeamOptions(runner=runner, args=["--sdk_container_image=none"]), "ImageExampleGen")
    context = base_beam_executor.BaseBeamExecutor.Context(arguments, tmp_dir=str(out), unique_id="1")
    examples, manifest = artifact(standard_artifacts.Examples, out / "examples"), artifact(Manifest, out / "manifest")
    properties = {"data_path": data, "options": DataOptions(shard_megabytes=1).to_json()}
    Executor(context).Do({}, {"examples": [examples], "manifest": [manifest]}, properties)


if __name__ == "__main__":
    for place, name in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
        ingest(sys.argv[1], Path(place), name)
