"""The executor of ImageExampleGen: scans the data, then writes records with Beam, without a group-by."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.contract import features
from components.errors import InputError
from components.example_gen.admission import refuse_empty_class, refuse_one_sided_class
from components.example_gen.history import open_history
from components.example_gen.manifest import Row
from components.example_gen.records import WriteShards, check_shards, reads_in_sequence, write_worklist
from components.example_gen.scan import Scan, ScanSettings, keep_places, scan_data
from components.example_gen.shards import empty_splits
from components.options.data import DataOptions
from components.sources.find import list_sources

FILE_FORMAT = "tfrecords_gzip"  # the only name TFX has; the readers go by the suffix, and JPEG bytes gain nothing
progress = logging.getLogger("graft.progress")


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the `examples` and `manifest` artifacts of a data path."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads `data_path`, writes the splits `train` and `eval` and the manifest.

        Raises:
            InputError: the data is unusable, or changed since its fingerprint was taken.
        """
        options = DataOptions.from_json(exec_properties["options"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        manifest = artifact_utils.get_single_instance(output_dict["manifest"])
        started = time.monotonic()
        listing = list_sources(exec_properties["data_path"], options)
        with open_history(exec_properties.get("memory") or "") as memory:
            scan = scan_data(listing, options, memory, ScanSettings(_report))
            check_fingerprint(exec_properties.get("data_fingerprint"), scan)
            refuse_empty_class(scan)
            refuse_one_sided_class(scan)
            keep_places(scan, options, memory)
        write_manifest(manifest.uri, scan)
        worklist = os.path.join(manifest.uri, ".worklist")
        units = write_worklist(worklist, scan, options.shard_megabytes << 20)
        empty_splits(examples.uri)
        write = WriteShards(
            examples.uri, worklist, options.max_file_megabytes << 20, scan.dataset["train"] + scan.dataset["eval"]
        )
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Units" >> beam.Create(units, reshuffle=not reads_in_sequence(listing))
                | "WriteShards" >> beam.ParDo(write)
            )
        check_shards(examples.uri, worklist, units)
        tf.io.gfile.remove(worklist)
        describe_artifact(examples, scan.dataset)
        progress.info(describe_records(scan, time.monotonic() - started), extra={"done": True})


def _report(done: int, total: int) -> None:
    progress.info("%s of %s files inspected", f"{done:,}", f"{total:,}", extra={"counts": (done, total)})


def write_manifest(uri: str, scan: Scan) -> None:
    """Writes `manifest.jsonl` (a row a file, by name), `quarantine.jsonl`, `findings.json` and `dataset.json`."""
    tf.io.gfile.makedirs(uri)
    rows = sorted(scan.rows, key=lambda row: row.name)
    _write_rows(os.path.join(uri, features.MANIFEST_FILE), rows)
    _write_rows(os.path.join(uri, features.LEDGER_FILE), (row for row in rows if row.reason))
    for name, content in ((features.FINDINGS_FILE, scan.findings.__dict__), (features.DATASET_FILE, scan.dataset)):
        with tf.io.gfile.GFile(os.path.join(uri, name), "w") as file:
            file.write(json.dumps(content, indent=2))


def _write_rows(path: str, rows: Iterable[Row]) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        for row in rows:
            file.write(row.to_json() + "\n")


def check_fingerprint(expected: str | None, scan: Scan) -> None:
    """Compares the data's fingerprint with the one that the run was planned for.

    Raises:
        InputError: the data changed while the run was going on.
    """
    actual = scan.dataset["fingerprint"]
    if expected and expected != actual:
        raise InputError(
            f"data.path: {scan.listing.root} changed while it was being read (fingerprint {actual[:12]}, expected "
            f"{expected[:12]}).\nStart the run again when no one writes into it."
        )


def describe_artifact(examples: types.Artifact, dataset: dict[str, Any]) -> None:
    """Sets what TFX's readers need to know of the Examples artifact."""
    examples.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, FILE_FORMAT)
    examples.set_string_custom_property("data_fingerprint", dataset["fingerprint"])


def describe_records(scan: Scan, seconds: float) -> str:
    """Describes the written records on one line for the terminal; the scan described the data."""
    data = scan.dataset
    count = data["train"] + data["eval"]
    converted = data["flags"].get("converted", 0)
    words = f"{data['train']:,} train + {data['eval']:,} eval images, {data['bytes'] / 1e6:,.0f} MB"
    return f"{words}, {count / max(seconds, 1e-3):,.0f} images/s" + (f"; {converted:,} as PNG" if converted else "")
