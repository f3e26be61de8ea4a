"""One signature of a SavedModel in a session, as a server runs it: read in C++, and no more of the graph than it needs.

`tf.saved_model.load` turns every function into Python first, those of other signatures, of saving and of further forms
among them. A graph that is asked about a few images only is not rewritten either: that takes longer than the answers.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from components.files.paths import exists, read_bytes

INIT = "__saved_model_init_op"  # TensorFlow's signature that fills tables; it has one output of this name
Answers = dict[str, np.ndarray]  # name of an output -> a row a row of the input


@dataclass(frozen=True)
class AskedSignature:
    """A signature with one input, ready to be asked.

    Attributes:
        source: name of its input.
        outputs: names of its outputs, which are computed where they are wanted.
        run: from an array of the input, and names of outputs, to these outputs; safe for threads.
        close: frees the graph and its variables.
    """

    source: str
    outputs: tuple[str, ...]
    run: Callable[[np.ndarray, Iterable[str]], Answers]
    close: Callable[[], None]


def open_signature(path: str, name: str, few: bool = False) -> AskedSignature | None:
    """Loads one signature of a SavedModel.

    Args:
        path: folder of the SavedModel, local or remote.
        name: of the signature.
        few: whether few images are asked about: the graph runs as it was written, and is ready half a second sooner.

    Returns:
        The signature; None where there is none of this name.

    Raises:
        OSError: there is no SavedModel.
        ValueError: it has no graph for serving, or the signature has not one input.
    """
    meta = _read_graph(path)
    if name not in meta.signature_def:
        return None
    signature = meta.signature_def[name]
    if len(signature.inputs) != 1:
        raise ValueError(f"{path}: expected one input of {name}, found {', '.join(signature.inputs) or 'none'}.")
    _keep_only(meta.graph_def, [tensor.name for tensor in signature.outputs.values()] + _beginning(meta))
    settings = _settings(few)
    if few:
        for node in _all_nodes(meta.graph_def):
            if "config_proto" in node.attr:  # a function is rewritten as its call says, not as the session does
                node.attr["config_proto"].s = settings.SerializeToString()
    session = _begin(path, meta, settings)
    ((source, given),) = signature.inputs.items()
    names = {output: tensor.name for output, tensor in signature.outputs.items()}

    def run(values: np.ndarray, wanted: Iterable[str]) -> Answers:
        return dict(session.run({output: names[output] for output in wanted}, {given.name: values}))

    return AskedSignature(source, tuple(names), run, session.close)


def _read_graph(path: str) -> meta_graph_pb2.MetaGraphDef:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(read_bytes(os.path.join(path, tf.saved_model.SAVED_MODEL_FILENAME_PB)))
    for meta in saved.meta_graphs:
        if tf.saved_model.SERVING in meta.meta_info_def.tags:
            return meta
    raise ValueError(f"{path}: expected a graph with the tag {tf.saved_model.SERVING}, found none.")


def _settings(few: bool) -> tf.compat.v1.ConfigProto:
    settings = tf.compat.v1.ConfigProto()
    settings.graph_options.rewrite_options.disable_meta_optimizer = few
    return settings


def _beginning(meta: meta_graph_pb2.MetaGraphDef) -> list[str]:
    """Names what is run before the first question: what restores variables, and what fills tables."""
    saver = meta.saver_def
    return [name for name in (saver.restore_op_name, saver.filename_tensor_name, *_init(meta)) if name]


def _init(meta: meta_graph_pb2.MetaGraphDef) -> list[str]:
    return [meta.signature_def[INIT].outputs[INIT].name] if INIT in meta.signature_def else []


def _begin(path: str, meta: meta_graph_pb2.MetaGraphDef, settings: tf.compat.v1.ConfigProto) -> tf.compat.v1.Session:
    """Imports a graph into a session, restores its variables, then fills its tables, as TensorFlow Serving does."""
    graph = tf.Graph()
    with graph.as_default():
        producer = meta.meta_info_def.stripped_op_list
        tf.graph_util.import_graph_def(meta.graph_def, name="", producer_op_list=producer)
    session = tf.compat.v1.Session(graph=graph, config=settings)
    there = {node.name for node in meta.graph_def.node}
    assets = {
        asset.tensor_info.name: os.path.join(path, "assets", asset.filename)
        for asset in meta.asset_file_def
        if _node_of(asset.tensor_info.name) in there
    }
    variables = os.path.join(path, "variables", "variables")
    if meta.saver_def.restore_op_name and exists(f"{variables}.index"):
        session.run(meta.saver_def.restore_op_name, {meta.saver_def.filename_tensor_name: variables} | assets)
    for name in _init(meta):
        session.run(graph.as_graph_element(name), assets)
    return session


def _keep_only(graph: graph_pb2.GraphDef, ends: list[str]) -> None:
    """Removes the nodes and the functions that nothing of `ends`, names of tensors or nodes, needs."""
    nodes = {node.name: node for node in graph.node}
    kept = _reach(map(_node_of, ends), lambda name: _needed_nodes(nodes[name]))
    _remove(graph.node, [node.name in kept for node in graph.node])
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    called = _reach(_called(graph.node), lambda name: _called(functions[name]))
    _remove(graph.library.function, [function.signature.name in called for function in graph.library.function])
    del graph.library.gradient[:]  # nobody asks for a gradient, and it may be that of a function that is gone


def _reach(start: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    found, ahead = set[str](), list(start)
    while ahead:
        if (name := ahead.pop()) not in found:
            found.add(name)
            ahead += following(name)
    return found


def _remove(rows: list[object], kept: list[bool]) -> None:
    """Removes rows of a repeated field, in place."""
    for place in reversed(range(len(kept))):
        if not kept[place]:
            del rows[place]


def _needed_nodes(node: node_def_pb2.NodeDef) -> Iterator[str]:
    """Names the nodes that a node takes from, waits for, or has to be on one device with."""
    yield from map(_node_of, node.input)
    if "_class" in node.attr:
        yield from (name[5:].decode() for name in node.attr["_class"].list.s if name.startswith(b"loc:@"))


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _called(nodes: Iterable[node_def_pb2.NodeDef]) -> Iterator[str]:
    """Names the functions that nodes call."""
    for value in itertools.chain.from_iterable(node.attr.values() for node in nodes):
        yield from (function.name for function in (value.func, *value.list.func) if function.name)


def _all_nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def
