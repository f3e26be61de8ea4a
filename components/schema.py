"""The committed schema as a node: TFX's ImportSchemaGen, with the schema's content in its cache key."""

from __future__ import annotations

from pathlib import Path

from tfx import types
from tfx.components.schema_gen.import_schema_gen.executor import Executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec as StockSpec

SCHEMA_FILE = Path(__file__).with_name("schema.pbtxt")


class ImportSchemaGenSpec(StockSpec):
    """The stock specification and the digest of the schema."""

    PARAMETERS = {**StockSpec.PARAMETERS, "source_fingerprint": ExecutionParameter(type=str)}


class ImportSchemaGen(base_component.BaseComponent):
    """Imports `schema.pbtxt`. The stock node is cached by the file's name: an edited schema would go unseen."""

    SPEC_CLASS = ImportSchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_file: str, source_fingerprint: str) -> None:
        """Makes the node.

        Args:
            schema_file: a `tensorflow_metadata.proto.v0.Schema` in text form.
            source_fingerprint: digest over that file, part of the cache key.
        """
        super().__init__(
            ImportSchemaGenSpec(
                schema_file=schema_file,
                source_fingerprint=source_fingerprint,
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
