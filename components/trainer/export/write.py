"""The export of a run: from a kept one with another head where there is one, else traced and kept for the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow_transform as tft

from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen
from components.trainer.export.export_cache import Template
from components.trainer.export.signatures import ServedModel, export_model, write_assets
from components.trainer.features.backbone_pass import Pooling
from components.trainer.features.keys import known_transform
from components.trainer.heads.head import Head

OF_THE_HEAD = ("head_sha256", "weights_sha256", "seed", "tuned")  # facts that tell heads apart, not what is around them


@dataclass(frozen=True)
class Graft:
    """All parts of a model.

    Attributes:
        backbone: frozen; built only if the export must be traced.
        pooling: of its feature maps.
        head: trained.
        transform: the transform graph, a `TFTransformOutput`.
    """

    backbone: Frozen
    pooling: Pooling
    head: Head
    transform: tft.TFTransformOutput


def export(model: Graft, path: str, facts: dict[str, Any], known: AnswerCache, code: str = "") -> None:
    """Writes the SavedModel with its assets.

    Args:
        model: its parts.
        path: a folder, made here.
        facts: of `describe_model`.
        known: where exports are kept; its root may be empty.
        code: digest of the code that traces; empty: no kept export is used, and none is kept.
    """
    template = None
    if known.root and code:
        around = {name: value for name, value in facts.items() if name not in OF_THE_HEAD}
        digests = {"transform_sha256": known_transform(model.transform, known), "code": code}
        template = Template(known.root, {**around, **digests})
    if template and template.fill(model.head, path):
        write_assets(path, facts)
        return
    parts = (model.backbone.built, model.pooling, model.head, model.transform)
    served = ServedModel(*parts, facts["classes"], facts.get("averaged_views", 1))
    export_model(served, path, facts)
    if template:
        template.keep(path)
