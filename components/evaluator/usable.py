"""Whether a pushed version can be run on the candidate's records at all; a broken one is said, never a crash."""

from __future__ import annotations

from components.contract import features
from components.errors import first_line
from components.evaluator.batched_model import PartedSignature, load_to_look


def why_not_runnable(path: str, classes: int, record: bytes) -> str:
    """Loads a SavedModel and asks it about one record; why that does not work, or an empty string.

    Args:
        path: of the SavedModel.
        classes: how many probabilities are expected.
        record: a serialized tf.Example.
    """
    import tensorflow as tf

    try:
        model = load_to_look(path)
        signature = model.signatures.get(features.SERVE_EXAMPLES)
        if signature is None:
            return f"it has no signature {features.SERVE_EXAMPLES}"
        answer = PartedSignature(signature, 1)(tf.constant([record]))
        found = answer.get(features.OUTPUT_PROBABILITIES)
        if found is None:
            return f"its signature {features.SERVE_EXAMPLES} gives no {features.OUTPUT_PROBABILITIES}"
        if tuple(found.shape) != (1, classes):
            return f"it answers with shape {tuple(found.shape)} for one image of {classes} classes"
        if not bool(tf.reduce_all(tf.math.is_finite(found))):
            return "its probabilities are no numbers"
    except Exception as error:  # noqa: BLE001  whatever a foreign model raises, it cannot be compared with
        return f"it does not work: {first_line(error)[:200]}"
    return ""
