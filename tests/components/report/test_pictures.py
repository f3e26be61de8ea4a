"""Small pictures in the page: read in one pass, drawn once each, no more than fit."""

import base64
import hashlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Pillow

from components.contract.assets import read_facts
from components.exports import session
from components.exports.session import open_signature
from components.report import pictures as room
from components.report.pictures import OVERLAY_SIDE, SIDE, Pictures, draw_thumbnail
from tests import pictures


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


def size_of(url):
    return Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size


@pytest.fixture
def digests(examples_uri, train_records, eval_records):
    """sha256 of images of both splits."""
    return [digest_of(content) for content in (*train_records.contents[:3], *eval_records.contents[:2])]


def test_pictures_of_both_splits_are_read_and_others_are_not(examples_uri, digests):
    wanted = Pictures()
    keys = [wanted.want(digest) for digest in (*digests, "0" * 64)]
    made = wanted.fetch(str(examples_uri), "", {})
    assert list(made) == keys[:-1]
    assert all(url.startswith("data:image/webp;base64,") for url in made.values())
    assert all(max(size_of(url)) <= SIDE for url in made.values())


def test_what_was_asked_for_first_is_there_first(examples_uri, digests):
    first = Pictures()
    first.want(digests[3])
    one = len(first.fetch(str(examples_uri), "", {})[digests[3]])
    wanted = Pictures(limit=one)
    for digest in (digests[3], *digests[:3]):
        wanted.want(digest)
    assert set(wanted.fetch(str(examples_uri), "", {})) == {digests[3]}


def test_a_map_lies_over_its_picture(examples_uri, digests, trained):
    wanted = Pictures()
    keys = [wanted.want_map(digest) for digest in digests]
    plain = wanted.want(digests[0])
    made = wanted.fetch(str(examples_uri), str(trained.path), read_facts(trained.path))
    assert set(made) == {*keys, plain}
    assert len({made[key] for key in keys}) == len(keys)
    assert made[keys[0]] != made[plain]
    assert all(max(size_of(made[key])) <= OVERLAY_SIDE for key in keys)


def test_the_model_that_explains_is_freed(examples_uri, digests, trained, monkeypatch):
    explain = open_signature(str(trained.path), "explain")
    monkeypatch.setattr(room, "load_explain", lambda model: explain)
    wanted = Pictures()
    wanted.want_map(digests[0])
    assert len(wanted.fetch(str(examples_uri), str(trained.path), read_facts(trained.path))) == 1
    with pytest.raises(RuntimeError, match="closed Session"):
        explain.run(np.array([b""], object), ["cam"])


def test_the_first_answer_is_given_while_the_model_loads_and_forgotten(monkeypatch):
    asked = []

    def run(images, wanted):
        asked.append([Pillow.open(io.BytesIO(image)).size for image in images])
        raise ValueError("what the model makes of one pixel is no matter")

    monkeypatch.setattr(session, "open_signature", lambda *_, few: SimpleNamespace(run=run))
    assert room.load_explain("a model").run is run
    assert asked == [[(1, 1)]]


def test_a_model_that_does_not_load_is_said(examples_uri, digests):
    wanted = Pictures()
    wanted.want_map(digests[0])
    with pytest.raises(OSError, match="gone"):
        wanted.fetch(str(examples_uri), "gone", {})


def test_a_model_that_cannot_explain_gives_no_maps(examples_uri, digests, monkeypatch):
    monkeypatch.setattr(room, "load_explain", lambda model: None)
    wanted = Pictures()
    wanted.want_map(digests[0])
    assert wanted.fetch(str(examples_uri), "a model", {}) == {}


def test_no_more_encoded_images_are_in_memory_than_a_batch(examples_uri, digests, monkeypatch):
    """Photographs of 20 MB each would fill the machine."""
    seen = []
    monkeypatch.setattr(room, "BATCH", 2)
    batches = room._in_batches
    monkeypatch.setattr(room, "_in_batches", lambda rows: (seen.append(len(part)) or part for part in batches(rows)))
    wanted = Pictures()
    for digest in digests:
        wanted.want(digest)
    assert len(wanted.fetch(str(examples_uri), "", {})) == len(digests)
    assert seen == [2, 2, 1]


@pytest.mark.parametrize("content", [b"", b"no image", pictures.encode(pictures.noise(), "png")[:40]])
def test_what_does_not_decode_has_no_thumbnail(content):
    assert draw_thumbnail(content) == ""
    wanted = Pictures()
    assert wanted.add("a file", content) == ""
    assert wanted.drawn == {}


def test_a_thumbnail_stands_upright_as_the_model_sees_it():
    turned = Pillow.fromarray(np.zeros([20, 60, 3], np.uint8))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned.save(buffer, "jpeg", exif=exif)
    assert size_of(draw_thumbnail(buffer.getvalue())) == (20, 60)
    assert size_of(draw_thumbnail(buffer.getvalue(), upright=False)) == (60, 20)
