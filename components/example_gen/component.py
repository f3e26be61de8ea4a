"""The TFX node of ImageExampleGen."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.contract.artifacts import Manifest
from components.contract.nodes import BeamNode
from components.example_gen.executor import Executor


class ImageExampleGen(BeamNode):
    """Turns a folder of images, a table, TFRecords or an archive into tf.Examples in the splits `train` and `eval`.

    A plain Beam executor without a driver: TFX's file-based ExampleGen needs its driver for spans and fingerprints,
    which Kubeflow Pipelines never calls. `data_fingerprint`, the digest of the content, is an execution property
    instead, so that an unchanged folder is cached and one changed picture is not. `options` is a `DataOptions`;
    `memory` the file of what earlier scans found out, or empty.
    """

    EXECUTOR = Executor
    OUTPUTS = {"examples": standard_artifacts.Examples, "manifest": Manifest}
    PARAMETERS = ("data_path", "options", "data_fingerprint", "memory", "source_fingerprint")
