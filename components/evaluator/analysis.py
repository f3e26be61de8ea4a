"""One pass of Beam over the eval records: every model's answers, a row an image.

TFX's own Evaluator lets its batches grow (Beam tunes them by speed, not by memory), and TFMA's extractors hand on each
image with its record, in Python. Here a batch stays one from the record to the file of its rows, and the pass has one
step that matters: what is made of the rows is made in the node, where a further step of Beam would cost its planning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.contract import features
from components.contract.assets import read_temperature
from components.evaluator.batched_model import PARTS, Answers, open_model, open_models
from components.evaluator.kept_answers import KeptAnswers, KnownAnswers, add_origin, digest_images
from components.evaluator.kept_features import FeatureKeeper
from components.evaluator.outcomes import CANDIDATE
from components.evaluator.rows import Place, make_rows, write_rows
from components.files.records import open_records


def list_records(examples: Sequence[types.Artifact]) -> list[str]:
    """Lists the files of the eval split, sorted."""
    pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri(examples, features.EVAL_SPLIT))
    return sorted(fileio.glob(pattern))


def read_batches(file: tuple[int, str], batch_size: int) -> Iterator[tuple[Place, list[bytes]]]:
    """Reads the records of one file, its number and path, in batches; each with its place."""
    (number, path), first = file, 0
    for batch in open_records([path]).batch(batch_size):
        records = batch.numpy().tolist()
        yield (number, first), records
        first += len(records)


def works_here(pipeline: beam.Pipeline) -> bool:
    """Tells whether Beam's workers are in this process, so that what is loaded here is loaded for them."""
    mode = pipeline.options.view_as(DirectOptions).direct_running_mode
    return isinstance(pipeline.runner, FnApiRunner) and mode == "in_memory"


def ask_models(
    pipeline: beam.Pipeline,
    examples: Sequence[types.Artifact],
    models: Mapping[str, str],
    settings: tuple[int, list[str], int],
    output_path: str,
    kept: Mapping[str, KeptAnswers],
) -> None:
    """Adds the Beam steps: records in batches of a fixed size, through the models, into a file of rows a batch.

    Args:
        pipeline: of Beam.
        examples: with an eval split.
        models: {name: SavedModel}.
        settings: the batch size, the names of the slices, and the number of classes.
        output_path: of the evaluation: the parts of rows and of `features.parquet`.
        kept: {name: answers that an earlier run had of this model}; it is asked about other images alone.
    """
    files = list_records(examples)
    temperatures = {name: read_temperature(path) for name, path in models.items()}
    asking = AskModels(dict(models), temperatures, settings, FeatureKeeper(output_path), kept)
    _ = (
        pipeline
        | "ListFiles" >> beam.Create(list(enumerate(files)), reshuffle=len(files) > 1)  # one file: nothing to spread
        | "ReadRecords" >> beam.FlatMap(read_batches, settings[0] * PARTS)
        | "AskModels" >> beam.ParDo(asking)
        | "KeepRows" >> beam.Map(keep_rows, output_path)
    )


class AskModels(beam.DoFn):
    """Turns a batch of records into rows, `rows.make_rows` with their origin; its place goes with it."""

    def __init__(
        self,
        models: dict[str, str],
        temperatures: dict[str, float],
        settings: tuple[int, list[str], int],
        keeper: FeatureKeeper,
        kept: Mapping[str, KeptAnswers],
    ) -> None:
        super().__init__()
        self.models, self.temperatures, self.settings, self.keeper = models, temperatures, settings, keeper
        self.kept, self.known = dict(kept), dict[str, KnownAnswers | None]()

    def setup(self) -> None:
        """Reads what earlier runs know."""
        self.known = {name: answers.load() for name, answers in self.kept.items()}

    def process(self, batch: tuple[Place, list[bytes]]) -> Iterator[tuple[Place, pa.Table]]:
        """Asks each model about the whole batch; the candidate's features go to their file, past all other steps."""
        place, records = batch
        _, slices, classes = self.settings
        images = digest_images(records)
        open_models([path for name, path in self.models.items() if self._must_be_asked(name, images)], records[0])
        answers = {name: self._answer(name, records, images) for name in self.models}
        if (values := answers[CANDIDATE].get(features.OUTPUT_FEATURES)) is not None:
            self.keeper.keep(np.array(records, object), values)
        yield place, add_origin(make_rows(records, answers, self.temperatures, slices, classes), images)

    def _must_be_asked(self, name: str, images: list[bytes]) -> bool:
        known = self.known.get(name)
        return known is None or len(known.find_unknown(images)) > 0

    def _answer(self, name: str, records: list[bytes], images: list[bytes]) -> Answers:
        """Gives a model's answers; it is loaded where it is asked, not before."""

        def ask(rows: Iterable[int]) -> Answers:
            return open_model(self.models[name]).answer([records[row] for row in rows], self.settings[0])

        known = self.known.get(name)
        return ask(range(len(records))) if known is None else known.answer(images, ask)


def keep_rows(batch: tuple[Place, pa.Table], evaluation: str) -> None:
    """Writes the rows of a batch into the evaluation's folder."""
    write_rows(evaluation, *batch)
