"""Large batches in parts: the same answers, in the same order, and no batch beyond the limit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator import batched_model
from components.evaluator.batched_model import closing_models, load_model, open_model, open_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that gives, for each row, how many rows came with it, and an answer that nobody wants."""
    made = str(tmp_path_factory.mktemp("model"))
    module = tf.Module()

    def answer(examples):
        rows = tf.shape(examples)[0]
        sizes = tf.strings.length(examples)
        return {"probabilities": tf.stack([sizes, tf.fill([rows], rows)], axis=1), "label": examples}

    module.call = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    tf.saved_model.save(module, made, signatures={"serve_examples": module.call})
    return made


@pytest.mark.parametrize(("rows", "parts"), [(1, [1]), (4, [4]), (5, [4, 1]), (11, [4, 4, 3]), (16, [4, 4, 4, 4])])
def test_rows_come_back_in_their_order_and_no_part_is_too_large(folder, rows, parts):
    with closing_models():
        answers = open_model(folder).answer([b"x" * number for number in range(rows)], 4)
    assert list(answers) == ["probabilities"]
    np.testing.assert_array_equal(answers["probabilities"], np.transpose([range(rows), np.repeat(parts, parts)]))


def test_an_error_of_a_part_is_that_of_the_batch(folder):
    def fail(records):
        raise tf.errors.InvalidArgumentError(None, None, f"no image among {len(records)}")

    with pytest.raises(tf.errors.InvalidArgumentError, match="no image among 2"):
        replace(load_model(folder), ask=fail).answer([b"a", b"b", b"c"], 2)


def test_a_model_is_loaded_once_and_freed_at_the_end(folder, monkeypatch):
    loads = []
    monkeypatch.setattr(batched_model, "load_model", lambda path: loads.append(path) or load_model(path))
    with closing_models():
        model = open_model(folder)
        assert open_model(folder) is model
    assert loads == [folder]
    with pytest.raises(RuntimeError, match="closed Session"):
        model.answer([b"a"], 1)
    with closing_models():
        assert open_model(folder) is not model


def test_a_model_that_two_threads_want_is_loaded_by_one_and_asked_first_by_it(folder, monkeypatch):
    seen, begun, go_on = [], threading.Event(), threading.Event()

    def load(path):
        begun.set()
        assert go_on.wait(10)
        seen.append("loaded")
        return replace(model, ask=lambda records: seen.append(len(records)) or {}, close=lambda: seen.append("closed"))

    model = load_model(folder)
    monkeypatch.setattr(batched_model, "load_model", load)
    with closing_models(), ThreadPoolExecutor(2) as pool:
        first = pool.submit(open_model, folder, b"a")
        assert begun.wait(10)
        second = pool.submit(open_model, folder, b"b")
        go_on.set()
        assert first.result() is second.result()
        open_models([folder, folder], b"c")
    assert seen == ["loaded", 1, "closed"]


def test_a_model_that_cannot_be_loaded_is_an_error_for_each_who_asks(tmp_path):
    with closing_models():
        for _ in range(2):
            with pytest.raises(OSError, match=r"saved_model\.pb"):
                open_model(str(tmp_path), b"a")
        with pytest.raises(OSError, match=r"saved_model\.pb"):
            open_models([str(tmp_path)], b"a")
