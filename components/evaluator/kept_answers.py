"""Answers of a pushed version, kept since it was the candidate: nobody asks it about the same image twice.

The Evaluator writes the candidate's answers into its evaluation, and the Pusher puts the file into the version:

    answers.parquet    image: sha256 of the encoded image in the record, 32 bytes, ascending; probabilities: float32
                       [classes], as bytes; outlier: float32; known: bool; the last two where the model says them

The file's metadata names the model (`digest_model`) and what ran it (`describe_asker`). An answer follows from these
and from the encoded image alone: `serve_examples` reads nothing else of a record, and its graph decodes the image.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract import features
from components.errors import first_line
from components.evaluator.areas import PROBABILITIES, read_columns
from components.evaluator.batched_model import Answers
from components.evaluator.outcomes import TYPICALITY_COLUMNS
from components.files.digests import combine, digest_of
from components.files.paths import exists, read_bytes, walk_files, write_atomically

LARGEST = 16 << 20  # bytes of probabilities; of more, nothing is kept
IMAGE, ASKER = "image", "asker"  # of each row, beside what the models answered
DIGEST = np.dtype("S32")  # raw sha256
# Key of the file's metadata, for an `Origin` as JSON. With another key, no file that lacks it is used any more: change
# it where answers come about otherwise than before, or were wrong.
ORIGIN = b"graft answers 1"
SETTINGS = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
PLACE = f"{features.EXTRA_ASSETS}/{features.ANSWERS_FILE}"  # in a version
BESIDE = (features.PASSPORT_FILE, features.CARD_FILE)  # files of a version that are not of its model

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class Origin:
    """What gave answers: the digest of the model, and what ran it."""

    model: str
    asker: str


def describe_asker() -> str:
    """Describes what of this process and its machine may change an answer by more than the rounding of sums."""
    import tensorflow as tf

    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return f"TensorFlow {tf.__version__}, {platform.machine()}, {device}"


def digest_model(path: str) -> str:
    """Computes one sha256 over all files of a SavedModel but those that only stand beside it."""
    names = (name for name in walk_files(path) if name not in BESIDE and name.split("/")[0] != features.EXTRA_ASSETS)
    return combine({name: digest_of(os.path.join(path, name)) for name in names})


def digest_images(records: list[bytes]) -> list[bytes]:
    """Computes the raw sha256 of the encoded image in each serialized tf.Example.

    That of the source file, which a record names, is another one where the file was converted, as options say.
    """
    import tensorflow as tf

    wanted = {features.IMAGE: tf.io.FixedLenFeature([], tf.string)}
    images = tf.io.parse_example(np.array(records, object), wanted)[features.IMAGE].numpy()
    return [hashlib.sha256(image).digest() for image in images]


def list_fields(candidate: str) -> list[pa.Field]:
    """Lists the columns of a batch that `keep_answers` needs beside the probabilities.

    Args:
        candidate: name of the model in columns.
    """
    typicality = [pa.field(f"{candidate}/{name}", kind) for name, kind in TYPICALITY_COLUMNS]
    return [pa.field(IMAGE, pa.binary(DIGEST.itemsize)), pa.field(ASKER, pa.string()), *typicality]


def add_origin(rows: pa.Table, images: list[bytes]) -> pa.Table:
    """Adds to a batch's rows the images, of `digest_images`, and what asked the models about them."""
    rows = rows.append_column(IMAGE, pa.array(images, pa.binary(DIGEST.itemsize)))
    return rows.append_column(ASKER, pa.array([describe_asker()] * len(images)))


def keep_answers(uri: str, model: str, candidate: str, images: int, classes: int) -> bool:
    """Writes the candidate's answers into an evaluation, from the files that still hold all probabilities.

    Args:
        uri: of the evaluation.
        model: the candidate's SavedModel.
        candidate: its name in columns.
        images: how many were asked for.
        classes: how many probabilities each has.

    Returns:
        Whether they are kept: not where they are too large, where a probability is no number, or where processes of
        several kinds asked.
    """
    if images * classes * np.dtype(np.float32).itemsize > LARGEST:
        return False
    answered = [f"{candidate}/{PROBABILITIES}", *(f"{candidate}/{name}" for name, _ in TYPICALITY_COLUMNS)]
    table = pa.Table.from_batches(read_columns(uri, [IMAGE, ASKER, *answered]))
    askers = pc.unique(table[ASKER]).to_pylist()
    probabilities = np.frombuffer(b"".join(table[answered[0]].to_pylist()), np.float32)
    if len(askers) != 1 or not np.isfinite(probabilities).all():
        return False
    _, first = np.unique(np.array(table[IMAGE].to_pylist(), DIGEST), return_index=True)
    there = [name for name in answered if not table[name].null_count]
    kept = table.select([IMAGE, *there]).take(first)
    kept = kept.rename_columns([name.removeprefix(f"{candidate}/") for name in kept.column_names])
    origin = Origin(digest_model(model), askers[0])
    buffer = io.BytesIO()
    pq.write_table(kept.replace_schema_metadata({ORIGIN: json.dumps(asdict(origin))}), buffer, **SETTINGS)
    write_atomically(os.path.join(uri, features.ANSWERS_FILE), buffer.getvalue())
    return True


@dataclass(frozen=True)
class KnownAnswers:
    """Answers of one model, in memory.

    Attributes:
        images: S32 [n], ascending.
        answers: a row an image.
    """

    images: np.ndarray
    answers: Answers

    def find_unknown(self, images: list[bytes]) -> np.ndarray:
        """Finds the images that are not known: int [m], ascending."""
        wanted = np.array(images, DIGEST)
        return np.flatnonzero(self.images[self._places(wanted)] != wanted)

    def _places(self, wanted: np.ndarray) -> np.ndarray:
        return np.minimum(np.searchsorted(self.images, wanted), len(self.images) - 1)

    def answer(self, images: list[bytes], ask: Callable[[np.ndarray], Answers]) -> Answers:
        """Gives the answers for images, a row each, and asks for those that are not known, if any.

        Args:
            images: of `digest_images`.
            ask: from rows, int [m], m > 0, to the model's answers for them.
        """
        places, unknown = self._places(np.array(images, DIGEST)), self.find_unknown(images)
        answers = {name: values[places] for name, values in self.answers.items()}
        if len(unknown):
            asked = ask(unknown)
            for name, values in answers.items():
                values[unknown] = asked[name]
        return answers


@dataclass(frozen=True)
class KeptAnswers:
    """A file of answers that may be used.

    Attributes:
        path: of the file.
        sha256: of its content, as the version's passport has it.
    """

    path: str
    sha256: str

    def load(self) -> KnownAnswers | None:
        """Reads them, in whatever process they are needed; None where that one would not give the same answers."""
        content = read_bytes(self.path)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            return None
        table = pq.read_table(pa.BufferReader(content))
        if _read_origin(table.schema).asker != describe_asker():
            return None
        images, rows = np.array(table[IMAGE].to_pylist(), DIGEST), b"".join(table[PROBABILITIES].to_pylist())
        answers = {features.OUTPUT_PROBABILITIES: np.frombuffer(rows, np.float32).reshape(len(images), -1)}
        for name, _ in TYPICALITY_COLUMNS:
            if name in table.column_names:
                answers[name] = table[name].to_numpy()
        return KnownAnswers(images, answers)


def find_answers(version: str, classes: int) -> KeptAnswers | None:
    """Finds the answers that a version brings; None: it has none, or none that may be used, and is to be asked.

    They are used where the passport has the digest of the file, and where the model is the one that gave them, run as
    here. So a version that has any did run: it is not tried again.

    Args:
        version: its folder, with its passport.
        classes: how many probabilities an answer must have.
    """
    path = os.path.join(version, PLACE)
    if not exists(path):
        return None
    content = read_bytes(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if reason := _why_unusable(version, content, sha256, classes):
        log.warning("%s is not used, the version is asked again: %s", path, reason)
        return None
    return KeptAnswers(path, sha256)


def _why_unusable(version: str, content: bytes, sha256: str, classes: int) -> str:
    """Says why the content of a version's file of answers cannot be used; empty where it can."""
    passport = os.path.join(version, features.PASSPORT_FILE)
    recorded = json.loads(read_bytes(passport)).get("files") if exists(passport) else None
    if sha256 != (recorded or {}).get(PLACE):
        return "its sha256 is not that of the passport"
    try:
        schema = pq.read_schema(pa.BufferReader(content))
        origin, width = _read_origin(schema), schema.field(PROBABILITIES).type.byte_width
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"another Graft wrote it: {first_line(error)}"
    if width != classes * np.dtype(np.float32).itemsize:
        return f"expected probabilities of {classes:,} classes, found {width:,} bytes an image"
    if origin.asker != (asker := describe_asker()):
        return f"expected answers given by {asker}, found {origin.asker}"
    return "" if origin.model == digest_model(version) else "another model gave them"


def _read_origin(schema: pa.Schema) -> Origin:
    """Reads which model gave the answers, and what ran it, from the file's metadata."""
    return Origin(**json.loads(schema.metadata[ORIGIN]))
