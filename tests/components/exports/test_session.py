"""One signature in a session: the answers of the whole export, of no more of the graph than it needs."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.exports import session as room
from components.exports.session import open_signature


class Words(tf.Module):
    """Numbers words by a file beside the model, and scales by a variable; a second signature needs neither."""

    def __init__(self, vocabulary):
        super().__init__()
        rows = tf.lookup.TextFileInitializer(
            vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table, self.scale = tf.lookup.StaticHashTable(rows, -1), tf.Variable(10, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
    def number(self, words):
        longest = tf.while_loop(lambda step, _: step < 3, lambda step, found: (step + 1, found + 1), [0, 0])[1]
        return {"numbers": self.scale * self.table.lookup(words), "longest": longest, "sizes": self.sizes(words)}

    @tf.function
    def sizes(self, words):
        return tf.strings.length(words)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "a"), tf.TensorSpec([None], tf.string, "b")])
    def join(self, a, b):
        return {"joined": a + b}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a variable, a table from a file, a loop and calls of functions, which was moved since."""
    made = tmp_path_factory.mktemp("words")
    (made / "vocabulary.txt").write_text("cat\ndog\n")
    module = Words(str(made / "vocabulary.txt"))
    tf.saved_model.save(module, str(made / "first"), signatures={"number": module.number, "join": module.join})
    shutil.move(made / "first", made / "moved")
    (made / "vocabulary.txt").unlink()
    return str(made / "moved")


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that are imported from now on."""
    found, begin = [], room._begin

    def noting(path, meta, settings):
        found.append(meta.graph_def)
        return begin(path, meta, settings)

    monkeypatch.setattr(room, "_begin", noting)
    return found


@pytest.mark.parametrize("few", [False, True])
def test_variables_tables_and_loops_are_there(folder, few):
    signature = open_signature(folder, "number", few)
    assert (signature.source, set(signature.outputs)) == ("words", {"numbers", "longest", "sizes"})
    answers = signature.run(np.array(["dog", "cat", "cow"], object), signature.outputs)
    assert {name: np.asarray(found).tolist() for name, found in answers.items()} == {
        "numbers": [10, 0, -10],
        "longest": 3,
        "sizes": [3, 3, 3],
    }
    signature.close()
    with pytest.raises(RuntimeError, match="closed Session"):
        signature.run(np.array(["dog"], object), ["numbers"])


def test_only_what_is_wanted_is_computed(folder):
    assert list(open_signature(folder, "number").run(np.array(["dog"], object), ["sizes"])) == ["sizes"]


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("name", [features.EXPLAIN, features.EMBED, features.SERVE_BYTES])
def test_an_export_answers_as_when_it_is_loaded_whole(trained, eval_records, name, few):
    contents = eval_records.contents[:4]
    whole = tf.saved_model.load(str(trained.path)).signatures[name]
    expected = whole(**{features.INPUT_BYTES: tf.constant(contents)})
    signature = open_signature(str(trained.path), name, few)
    answers = signature.run(np.array(contents, object), signature.outputs)
    signature.close()
    assert answers.keys() == expected.keys()
    for output, values in expected.items():
        if values.dtype.is_floating:
            np.testing.assert_allclose(answers[output], values.numpy(), rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(answers[output], values.numpy())


def test_no_function_of_another_signature_is_loaded(trained, graphs):
    open_signature(str(trained.path), features.EMBED).close()
    loaded = " ".join(function.signature.name for function in graphs[0].library.function)
    assert "embed" in loaded
    assert not [name for name in ("explain", "serve_bytes", "serve_examples", "traced_save") if name in loaded]


def test_a_graph_for_few_images_is_rewritten_nowhere(trained, graphs):
    for few in (True, False):
        open_signature(str(trained.path), features.EMBED, few).close()
    rewritten = [
        {
            not tf.compat.v1.ConfigProto.FromString(
                node.attr["config_proto"].s
            ).graph_options.rewrite_options.disable_meta_optimizer
            for node in room._all_nodes(graph)
            if "config_proto" in node.attr
        }
        for graph in graphs
    ]
    assert rewritten == [{False}, {True}]


def test_nodes_that_belong_on_one_device_stay_together(tmp_path):
    module = tf.Module()
    module.state = tf.Variable([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def add(x):
        return {"sum": x + module.state}

    module.add = add
    tf.saved_model.save(module, str(tmp_path), signatures={"add": module.add})
    saved = room.saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    anchor = graph.node.add(name="anchor", op="NoOp")
    call = next(node for node in graph.node if node.op == "StatefulPartitionedCall")
    call.attr["_class"].list.s.append(f"loc:@{anchor.name}".encode())
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    found = open_signature(str(tmp_path), "add").run(np.float32([1, 1]), ["sum"])
    assert found["sum"].tolist() == [2.0, 3.0]


def test_what_is_not_there_is_said(folder, tmp_path):
    assert open_signature(folder, "serve_examples") is None
    with pytest.raises(ValueError, match=r"expected one input of join, found (a, b|b, a)"):
        open_signature(folder, "join")
    with pytest.raises(FileNotFoundError):
        open_signature(str(tmp_path), "number")
    saved = room.saved_model_pb2.SavedModel()
    saved.meta_graphs.add().meta_info_def.tags.append("train")
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(ValueError, match="expected a graph with the tag serve, found none"):
        open_signature(str(tmp_path), "number")
