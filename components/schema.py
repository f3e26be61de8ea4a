"""The committed schema as a node: TFX's ImportSchemaGen, with the expected classes and the content in its cache key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx.components.schema_gen.import_schema_gen import executor as stock
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.standard_component_specs import ImportSchemaGenSpec as StockSpec
from tfx.utils import io_utils

from components.contract import features
from components.contract.artifacts import Artifacts
from components.contract.nodes import PlainNode

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

SCHEMA_FILE = Path(__file__).with_name("schema.pbtxt")
IMPORTED_FILE = "schema.pbtxt"  # TFX's name of the file in a Schema artifact
CLASSES_DOMAIN = "classes"


class Executor(stock.Executor):
    """The stock import; where classes are given, they become the domain of the label."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes the schema; raises what the stock executor raises on a file that is no schema."""
        here = {"schema_file": str(SCHEMA_FILE.parent / exec_properties["schema_file"])}  # an absolute one stays
        super().Do(input_dict, output_dict, {**exec_properties, **here})
        classes = json.loads(exec_properties["classes"])
        if classes is None:
            return
        path = os.path.join(artifact_utils.get_single_uri(output_dict["schema"]), IMPORTED_FILE)
        schema = io_utils.SchemaReader().read(path)
        expect_classes(schema, classes)
        io_utils.write_pbtxt_file(path, schema)


def expect_classes(schema: Schema, classes: list[str]) -> None:
    """Makes any label that is not among the classes an anomaly; changes the schema in place."""
    schema.string_domain.add(name=CLASSES_DOMAIN, value=sorted(set(classes)))
    label = next(feature for feature in schema.feature if feature.name == features.LABEL_TEXT)
    label.domain = CLASSES_DOMAIN


class ImportSchemaGen(PlainNode):
    """Imports `schema.pbtxt`. The stock node is cached by the file's name: an edited schema would go unseen.

    `schema_file` is a `tensorflow_metadata.proto.v0.Schema` in text form; a name is a file beside this module, wherever
    the node runs. `classes` is `data.classes` as JSON; `source_fingerprint` the digest over the file.
    """

    EXECUTOR = Executor
    STOCK = StockSpec
    OUTPUTS = {"schema": standard_artifacts.Schema}
    PARAMETERS = ("classes", "source_fingerprint")
