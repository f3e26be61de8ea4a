"""The frozen backbone of the options: its facts at once where it was built before, its network only when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from components.options.trainer import OF_CLASS, TrainerOptions
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.build import BuiltBackbone, WeightsSource, build_from, find_source
from components.trainer.backbones.family import Scaling
from components.trainer.backbones.table import choose_scaling, find_bringer, package_facts


@dataclass(frozen=True)
class Facts:
    """Facts of a frozen backbone that do not need its network; see `BuiltBackbone` for each.

    Attributes:
        scaling: of its pixels.
        digest: over its variables, or over the files of a saved model.
        shape: (h, w, d) for feature maps, (d,) for vectors.
        weights_sha256: of the file that it came from; None where there is none.
    """

    scaling: Scaling
    digest: str
    shape: tuple[int, ...]
    weights_sha256: str | None = None

    @classmethod
    def of(cls, built: BuiltBackbone) -> Facts:
        """Collects the facts of a network that is built."""
        return cls(built.scaling, built.digest, built.shape, built.weights_sha256)

    @property
    def has_maps(self) -> bool:
        """Whether the output still has places; else it is one vector an image."""
        return len(self.shape) == 3

    def feature_width(self, pooling: str) -> int:
        """Counts the values of a pooled feature."""
        return self.shape[-1] * (2 if pooling == "both" and self.has_maps else 1)


class Frozen:
    """A backbone that may not be built yet."""

    def __init__(self, facts: Facts, build: Callable[[], BuiltBackbone]) -> None:
        """Takes the facts, and what builds the network: called at most once, under Keras' dtype policy at that time."""
        self.facts = facts
        self._build = build

    @classmethod
    def of(cls, built: BuiltBackbone) -> Frozen:
        """Wraps a network that is built."""
        return cls(Facts.of(built), lambda: built)

    @cached_property
    def built(self) -> BuiltBackbone:
        """Builds the network the first time it is asked for."""
        return self._build()


def freeze(options: TrainerOptions, size: tuple[int, int], answers: AnswerCache) -> Frozen:
    """Finds the backbone that the options ask for, without building it where an earlier run did.

    Digest and shape of a network follow from the digest of its weights file; one with initial values is built at once.

    Args:
        options: of the Trainer.
        size: height and width in pixels.
        answers: of earlier runs.

    Raises:
        InputError: the weights cannot be had, or do not fit.
    """
    name, arguments = options.backbone, options.backbone_args
    source = find_source(name, size, arguments, options.weights, options.weights_sha256)

    def build() -> BuiltBackbone:
        return build_from(source, name, size, arguments, options.backbone_scaling, options.pooling)

    if source.sha256 is None:
        return Frozen.of(build())
    made: list[BuiltBackbone] = []

    def find_out() -> dict[str, object]:
        made.append(build())
        return {"digest": made[0].digest, "shape": list(made[0].shape)}

    answer = answers.recall(_question(options, size, source), find_out)
    scaling = choose_scaling(name, options.backbone_scaling)
    facts = Facts(scaling, answer["digest"], tuple(answer["shape"]), source.sha256)
    return Frozen(facts, lambda: made[0] if made else build())


def _question(options: TrainerOptions, size: tuple[int, int], source: WeightsSource) -> dict[str, object]:
    """Collects what the digest and the shape of a network follow from."""
    name = "saved model" if find_bringer(options.backbone) else options.backbone
    return {
        "what": "backbone",
        "backbone": name,
        "arguments": options.backbone_args,
        "image_size": list(size),
        "weights_sha256": source.sha256,
        **package_facts(options.backbone),
        **({"pooling": options.pooling} if options.pooling in OF_CLASS else {}),  # others leave the network as it is
    }
