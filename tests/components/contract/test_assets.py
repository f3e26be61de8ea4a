"""What stands beside an exported SavedModel is read as it was written, wherever it is."""

import tensorflow as tf

from components.contract.assets import read_facts, read_labels, read_temperature
from tests.conftest import CLASSES


def test_labels_and_facts_are_those_of_the_export(trained):
    assert read_labels(trained.path) == read_labels(str(trained.path)) == CLASSES
    assert read_facts(trained.path)["classes"] == CLASSES
    assert read_temperature(trained.path) == read_facts(trained.path)["temperature"] > 0


def test_a_remote_export_is_read_likewise():
    with tf.io.gfile.GFile("ram://model/assets/labels.txt", "w") as file:
        file.write("cats\nété\n")
    assert read_labels("ram://model") == ["cats", "été"]
    assert read_facts("ram://model") == {}


def test_a_model_that_graft_did_not_make_has_none(tmp_path):
    assert (read_labels(tmp_path), read_facts(tmp_path), read_temperature(tmp_path)) == ([], {}, 1.0)
