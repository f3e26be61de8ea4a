"""Options of where Beam runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.options.base import MACHINE_PATH, Options

BeamNode = Literal["ImageExampleGen", "StatisticsGen", "Transform", "Trainer", "Evaluator"]


class BeamNodeOptions(Options):
    """Where the Beam part of one node runs."""

    runner: str | None = Field(None, description="null: as for all nodes.")
    args: list[str] = Field(default_factory=list, description="Added to those for all nodes; the last one counts.")


class BeamOptions(Options):
    """Where ImageExampleGen, StatisticsGen, Transform and Evaluator run their Beam pipelines.

    The Trainer and the Tuner have one with `trainer.feature_pass: beam`; both take what is said of the Trainer.
    """

    runner: str = Field(
        "DirectRunner",
        description="Or PortableRunner (a job server: Flink, Spark), DataflowRunner, or another by its full name.",
    )
    args: list[str] = Field(
        default_factory=list,
        description="Arguments of Beam, such as --job_endpoint=HOST:PORT. Workers of --environment_type EXTERNAL and "
        "PROCESS run beside the engine's, not beside the node: they see shared paths and buckets only.",
    )
    shared_path: str | None = Field(
        None,
        description="A folder that workers on other machines see at the same path; without one they see buckets only.",
        json_schema_extra=MACHINE_PATH,
    )
    nodes: dict[BeamNode, BeamNodeOptions] = Field(
        default_factory=dict, description="Other runners and further arguments a node."
    )
