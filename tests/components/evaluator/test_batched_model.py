"""Large batches in parts: the same answers, in the same order, and no batch beyond the limit."""

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.batched_model import PartedSignature


@pytest.fixture(scope="module")
def signature(tmp_path_factory):
    """Gives back the rows and, for each, how many came with it."""
    folder = str(tmp_path_factory.mktemp("model"))
    module = tf.Module()
    module.call = tf.function(
        lambda examples: {"same": examples, "together": tf.fill([tf.shape(examples)[0], 2], tf.shape(examples)[0])},
        input_signature=[tf.TensorSpec([None], tf.string, "examples")],
    )
    tf.saved_model.save(module, folder, signatures={"serve": module.call})
    return tf.saved_model.load(folder).signatures["serve"]


@pytest.mark.parametrize(("rows", "parts"), [(1, [1]), (4, [4]), (5, [4, 1]), (11, [4, 4, 3]), (16, [4, 4, 4, 4])])
def test_rows_come_back_in_their_order_and_no_part_is_too_large(signature, rows, parts):
    values = tf.constant([f"row {number}" for number in range(rows)])
    answer = PartedSignature(signature, 4)(values)
    np.testing.assert_array_equal(answer["same"], values)
    np.testing.assert_array_equal(answer["together"][:, 0], np.repeat(parts, parts))
    assert answer["together"].shape == (rows, 2)


def test_an_error_of_a_part_is_that_of_the_batch():
    def fail(examples):
        raise tf.errors.InvalidArgumentError(None, None, f"no image among {len(examples)}")

    fail.structured_input_signature = ((), {"examples": tf.TensorSpec([None], tf.string)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="no image among 2"):
        PartedSignature(fail, 2)(tf.constant(["a", "b", "c"]))
