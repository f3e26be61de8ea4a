"""The network of a configuration, tried before any image is read; what was found sound is not tried again.

features/known/trial-<digest of all that the trial depends on>
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from components.exports.table import check_packages
from components.options.trainer import OF_CLASS
from components.process.lines import library_versions
from components.trainer.backbones.downloads import cache_folder
from components.trainer.backbones.table import find_family
from pipeline.config.configuration import Config
from pipeline.fingerprint import source_fingerprints

TRIED = (
    *("backbone", "backbone_args", "backbone_scaling", "weights", "weights_sha256"),
    *("precision", "pooling", "averaged_views", "fine_tune"),
)  # options of the Trainer


def try_early(
    config: Config,
    kept: Path,
    weights_sha256: str,
    prepare: Callable[[], None],
    stays: bool = True,
    files: bool = False,
    sources: Callable[[], dict[str, str]] = source_fingerprints,
) -> None:
    """Tries what may fail once all images were read: saved models, layers to train, and weights to fetch.

    Args:
        config: checked.
        kept: `features/` of the working directory.
        weights_sha256: of the files that the network starts from.
        prepare: called before TensorFlow is first used.
        stays: whether what is fetched here is there for the Trainer; a pod's disk goes with the pod.
        files: whether a weights file is tried, too, which seldom fails: it takes TensorFlow and a second.
        sources: gives the digest of the code behind each node.

    Raises:
        InputError: the weights cannot be had, or the network cannot be trained or exported.
    """
    check_packages(config.exports)
    trainer = config.trainer
    asks_more = trainer.fine_tune.asked_for or trainer.pooling in OF_CLASS or config.exports
    may_fail = asks_more or not find_family(trainer.backbone).ARE_PROVEN or trainer.weights == "imagenet"
    if not may_fail and not (files and trainer.weights != "none"):
        return
    passed = kept / "known" / f"trial-{_question(config, weights_sha256, sources()['Trainer'])}"
    if passed.is_file() and (not stays or Path(passed.read_text("utf-8")).exists()):
        return
    prepare()
    from components.trainer.trial import try_network  # loads TensorFlow

    weights = try_network(trainer, config.transform.image_size, config.exports)
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.write_text(weights, "utf-8")


def _question(config: Config, weights_sha256: str, code: str) -> str:
    facts = {
        "options": config.trainer.model_dump(mode="json", include=set(TRIED)),
        "image_size": config.transform.image_size,
        "exports": config.exports,
        "weights": weights_sha256,
        "cache": str(cache_folder()),
        "code": code,
        "libraries": library_versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
