"""Which side of the split an image falls on, where the folder does not say."""

from components import features

_BUCKETS = 2**32


def split_by_content(sha256: str, eval_fraction: float) -> str:
    """`train` or `eval`, from the content alone.

    Copies of one picture always land on the same side, and adding images never moves an old one.

    Args:
        sha256: hex digest of the file's bytes.
        eval_fraction: expected share of `eval`, 0..1.
    """
    bucket = int(sha256[:8], 16)
    return features.EVAL_SPLIT if bucket < eval_fraction * _BUCKETS else features.TRAIN_SPLIT
