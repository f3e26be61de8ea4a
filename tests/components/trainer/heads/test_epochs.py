"""Tests of the head's training on kept features."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.trainer.features.shared_arrays import aligned_zeros
from components.trainer.heads.epochs import KeptFeatures
from components.trainer.heads.scaling import Scale
from components.trainer.training.step import Batch

PLAIN = Scale(np.zeros(4), np.ones(4))


def look_up(source: KeptFeatures, graph: bool) -> np.ndarray:
    """Looks up row 2 as a step does, in a loop in a graph; or at once."""
    batch = Batch(tf.constant([2]))

    def loop() -> tf.Tensor:
        def one(step: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, source.features(tf.zeros([0], tf.float64), batch, learning=True)

        start = (tf.constant(0), tf.zeros([1, 4], tf.float64))
        return tf.while_loop(lambda step, _: step < 2, one, start, parallel_iterations=1)[1]

    return (tf.function(loop)() if graph else loop()).numpy()


def test_features_of_all_images_are_not_copied() -> None:
    values = aligned_zeros(3, 4)
    source = KeptFeatures(values, PLAIN)
    for graph in (False, True):
        look_up(source, graph)  # a first look-up in a variable may copy it
        values[2] += 1
        assert (look_up(source, graph) == values[2]).all(), "expected the memory of the array itself, found a copy"


def test_features_of_an_epoch_of_its_own_take_the_place_of_those_before() -> None:
    source = KeptFeatures(aligned_zeros(3, 4), PLAIN)
    look_up(source, graph=True)
    fresh = aligned_zeros(3, 4)
    fresh[2] = 5
    source.values.assign(tf.constant(fresh))
    assert (look_up(source, graph=True) == 5).all()
