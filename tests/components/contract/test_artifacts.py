"""What binds an artifact to its bytes: recorded when it is made, the same for every copy, held against it when used."""

import os
import shutil

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.contract.artifacts import check_contents, contents_of, find_artifact_damage, record_contents
from components.errors import Damaged
from components.files.digests import CONTENT, digest_folder
from tests.conftest import artifact
from tests.damages import DAMAGES


@pytest.fixture
def model(tmp_path):
    """A recorded artifact with files and an empty folder."""
    folder = tmp_path / "model"
    for name, content in (("a/labels.txt", "cats\ndogs\n"), ("a.txt", "graph"), ("b/c/BLESSED", "yes")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "empty").mkdir()
    made = artifact(standard_artifacts.Model, folder)
    record_contents({"model": [made]})
    return made


def test_what_is_as_it_was_made_is_given_to_the_next_node(model):
    check_contents({"model": [model], "nothing": []})
    assert contents_of({"model": [model], "nothing": []}) == {"model": digest_folder(model.uri)}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_not_is_refused_with_its_name_and_the_way_out(model, tmp_path, name):
    DAMAGES[name](tmp_path / "model")
    with pytest.raises(
        Damaged, match=r"the model in .*/model is not as it was made \(sha256 .*\)\. Run again: it is made"
    ):
        check_contents({"other": [], "model": [model]})


def test_what_is_gone_or_of_unknown_origin_is_refused(model, tmp_path):
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(Damaged, match=r"the model in .* is gone"):
        check_contents({"model": [model]})
    with pytest.raises(Damaged, match="has no digest of when it was made"):
        check_contents({"model": [artifact(standard_artifacts.Model, tmp_path)]})


def test_two_lines_that_change_places_are_damage(model, tmp_path):
    labels = tmp_path / "model" / "a" / "labels.txt"
    labels.write_text("dogs\ncats\n")
    assert "is not as it was made" in find_artifact_damage(model)
    labels.write_text("cats\ndogs\n")
    assert find_artifact_damage(model) == ""


def test_a_file_that_cannot_be_read_is_damage(model, tmp_path):
    (tmp_path / "model" / "a.txt").unlink()
    (tmp_path / "model" / "a.txt").symlink_to(tmp_path / "nowhere")
    assert "cannot be read" in find_artifact_damage(model)


class Bucket:
    """As TensorFlow sees a bucket: no empty folders, but empty objects that other tools write for folders."""

    def __init__(self, folder):
        self.folder = folder

    def walk(self, uri):
        for folder, _, names in os.walk(self.folder):
            place = os.path.relpath(folder, self.folder)
            yield (uri if place == "." else os.path.join(uri, place)), [], ["", "/", *names]

    def GFile(self, uri, mode):  # noqa: N802
        return open(uri.replace("gs://bucket/model", str(self.folder)), mode)


def test_copies_on_other_disks_and_in_buckets_have_the_same_digest(model, tmp_path, monkeypatch):
    copied = shutil.copytree(tmp_path / "model", tmp_path / "elsewhere" / "deep")
    (copied / "empty").rmdir()
    expected = model.get_string_custom_property(CONTENT)
    assert digest_folder(str(copied)) == digest_folder(f"{copied}/") == expected
    monkeypatch.setattr(tf.io, "gfile", Bucket(copied))
    assert digest_folder("gs://bucket/model") == digest_folder("gs://bucket/model/") == expected
