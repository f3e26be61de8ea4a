"""Writes the export of a run: a kept one with another head where there is one, else traced and kept for the next."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.contract import features
from components.options.trainer import Pooling
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen
from components.trainer.export.export_cache import KeptExport, find_place
from components.trainer.export.signatures import ServedModel
from components.trainer.heads.head import Head
from components.trainer.outliers.typicality import Typicality

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class Graft:
    """All parts of a model.

    Attributes:
        backbone: frozen; built only if the export must be traced.
        pooling: of its feature maps.
        head: trained.
        transform: the transform graph, a `TFTransformOutput`.
        typicality: what tells outliers.
    """

    backbone: Frozen
    pooling: Pooling
    head: Head
    transform: tft.TFTransformOutput
    typicality: Typicality


def export(model: Graft, path: str, facts: dict[str, Any], known: AnswerCache, code: str = "") -> None:
    """Writes the SavedModel with its assets.

    Args:
        model: its parts.
        path: a folder, made here.
        facts: of `describe_model`.
        known: where exports are kept; its root may be empty.
        code: digest of the code that traces; empty: no kept export is used, and none is kept.
    """
    place = find_place(model.transform, facts, known, code)
    if place and place.write_with(model.head, model.typicality, path):
        write_assets(path, facts)
        return
    export_model(make_served(model, facts), path, facts)
    if place:
        place.keep(path)


def keep_export(model: Graft, place: KeptExport) -> None:
    """Traces an export and keeps it: `export` then has to put in head and typicality alone.

    Where it cannot be written, `export` traces it again, to where it goes.

    Args:
        model: with any head of the right shape, and any typicality.
        place: of `find_place`.
    """
    try:
        with tempfile.TemporaryDirectory() as scratch:
            export_model(make_served(model, place.facts), scratch, place.facts)
            place.keep(scratch)
    except (OSError, tf.errors.OpError) as error:  # such as a small disk for temporary files
        log.warning("The export could not be written ahead, it is traced again: %s", error)


def make_served(model: Graft, facts: dict[str, Any]) -> ServedModel:
    """Joins the parts of a model, with its class names; its network is built where it is not yet."""
    parts = (model.backbone.built, model.pooling, model.head, model.transform)
    return ServedModel(*parts, facts["classes"], facts.get("averaged_views", 1), model.typicality)


def export_model(model: ServedModel, path: str, facts: dict[str, Any]) -> None:
    """Writes the SavedModel with its class names and what it is made of.

    A backbone that gives vectors has no places, nor has a class token alone: then there is no `explain` and no
    `explain_class`.
    """
    signatures = {
        features.SERVE_BYTES: model.serve_bytes,
        features.SERVE_EXAMPLES: model.serve_examples,
        features.EMBED: model.embed,
    }
    if model.has_maps:
        signatures |= {features.EXPLAIN: model.explain, features.EXPLAIN_CLASS: model.explain_class}
    tf.saved_model.save(model, path, signatures=signatures)
    write_assets(path, facts)


def write_assets(path: str, facts: dict[str, Any]) -> None:
    """Writes the class names, and what the model is made of, beside an export."""
    labels = "".join(f"{name}\n" for name in facts["classes"])
    texts = {features.LABELS_ASSET: labels, features.FACTS_ASSET: json.dumps(facts, indent=2, sort_keys=True)}
    tf.io.gfile.makedirs(os.path.join(path, "assets"))
    for name, text in texts.items():
        with tf.io.gfile.GFile(os.path.join(path, "assets", name), "w") as file:
            file.write(text)
