"""The typicality of an image as an exported model computes it: plain operations, all in float32."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer.outliers.typicality import TIE, Typicality


class OutlierScore(tf.Module):
    """From pooled features to `outlier` and `known`.

    All of it is in variables, whose first sizes the graph does not know: a kept export takes those of another run.
    """

    def __init__(self, typicality: Typicality) -> None:
        super().__init__()
        for name, array in typicality.variables().items():
            shape = [None, *array.shape[1:]] if array.ndim else []
            setattr(self, name, tf.Variable(array, shape=shape, dtype=array.dtype, name=f"outliers/{name}"))

    def __call__(self, pooled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Answers for features float32 [batch, d], as `Typicality.outlier`.

        Returns:
            `outlier` float32 [batch], 0..1, and `known` bool [batch]: whether it is above the promised share.
        """
        unit = tf.math.divide_no_nan(pooled, tf.norm(pooled, axis=1, keepdims=True))
        similar = tf.matmul(unit, self.bank, transpose_b=True)
        nearest = tf.math.top_k(similar, tf.cast(self.neighbours, tf.int32), sorted=False).values
        distance = 1.0 - tf.reduce_mean(nearest, axis=1, keepdims=True)
        beyond = tf.cast(self.scores[tf.newaxis] >= distance - np.float32(TIE), tf.int32)
        outlier = tf.gather(self.shares, tf.reduce_sum(beyond, axis=1))
        return outlier, outlier > self.max_refused
