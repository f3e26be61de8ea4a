"""An upright picture and its tagged copies get the same answers, from every command and every interface."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image as Pillow

from components.contract import features
from components.registry.find import find_model, reading_of
from pipeline.predict import answers
from pipeline.predict.answers import predict_files
from pipeline.predict.distributed import PredictionJob, predict_on_beam
from pipeline.predict.writers import AnswerShape
from pipeline.serve.host import Host
from tests import pictures
from tests.conftest import CLASSES
from tests.pipeline.serve.fakes import running

pytestmark = pytest.mark.usefixtures("loaded_once")

FORMS = {"png": {}, "webp": {"lossless": True}, "tiff": {}, "jpeg": {"quality": 98, "subsampling": 0}}
SUFFIXES = {"jpeg": "jpg"}
PICTURE = np.full([64, 96, 3], 20, np.uint8)
PICTURE[:32, :48] = (90, 250, 60)  # all answers differ when it stands on its head or lies on its side


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Files of the picture by format and orientation."""
    folder = tmp_path_factory.mktemp("copies")
    return {
        (form, orientation): pictures.write(
            folder / f"{orientation}.{SUFFIXES.get(form, form)}", pictures.tagged(PICTURE, form, orientation, **options)
        )
        for form, options in FORMS.items()
        for orientation in range(1, 9)
    }


@pytest.fixture(scope="module")
def old_model(pushed, tmp_path_factory):
    """The model as one of an older Graft, which says nothing of how it reads pictures."""
    folder = tmp_path_factory.mktemp("old") / "model"
    shutil.copytree(find_model(str(pushed)), folder, ignore=shutil.ignore_patterns("passport.json"))
    facts = folder / "assets" / features.FACTS_ASSET
    content = {k: v for k, v in json.loads(facts.read_text("utf-8")).items() if k not in features.READING_FACTS}
    facts.write_text(json.dumps(content), "utf-8")
    return folder


def check_answers(found, copies):
    """Exactly the same for what is lossless, nearly for JPEGs, whose blocks are encoded anew in another direction."""
    upright = np.array(found["png", 1])
    for key in copies:
        limit = 1e-2 if key[0] == "jpeg" else 1e-5
        assert np.abs(np.array(found[key]) - upright).max() < limit, key


def test_predict_answers_the_same_and_says_what_it_did(pushed, copies):
    rows = dict(zip(copies, predict_files(str(pushed), map(str, copies.values())), strict=True))
    check_answers({key: list(row.probabilities.values()) for key, row in rows.items()}, copies)
    for (form, orientation), row in rows.items():
        assert ("rotated" in row.flags) == (orientation != 1)
        assert ("converted" in row.flags) == (form in ("webp", "tiff") or (form == "png" and orientation != 1))


def test_the_model_tells_them_apart_where_they_are_not_turned(pushed):
    model = answers.load_model(str(pushed))
    upright, on_its_head = model.probabilities([pictures.encode(PICTURE), pictures.encode(PICTURE[::-1])])
    assert np.abs(upright - on_its_head).max() > 2e-2


def test_rest_answers_the_same(pushed, copies):
    host = Host(str(pushed), "", 8)
    host.start()
    rows = [{features.INPUT_BYTES: {"b64": base64.b64encode(p.read_bytes()).decode()}} for p in copies.values()]
    with running(host) as (url, _):
        answer = requests.post(f"{url}/v1/models/shades:predict", json={"instances": rows}, timeout=60).json()
        assert requests.get(f"{url}/healthz", timeout=60).json()["upright"] is True
    host.close()
    check_answers({key: row["probabilities"] for key, row in zip(copies, answer["predictions"], strict=True)}, copies)


def test_the_served_signatures_turn_the_bytes_of_cameras_by_themselves(pushed, copies):
    serve = tf.saved_model.load(str(find_model(str(pushed)))).signatures[features.SERVE_BYTES]
    photos = {key: path for key, path in copies.items() if key[0] == "jpeg"}
    contents = [path.read_bytes() for path in photos.values()] + [copies["png", 1].read_bytes()]
    found = serve(tf.constant(contents))[features.OUTPUT_PROBABILITIES].numpy()
    check_answers(dict(zip([*photos, ("png", 1)], found, strict=True)), photos)


def test_beam_answers_the_same(pushed, copies, tmp_path):
    job = PredictionJob(
        str(find_model(str(pushed))), str(tmp_path / "out"), "jsonl", AnswerShape(CLASSES), batch_size=4
    )
    done = predict_on_beam(job, [str(copies["png", 1].parent)])
    rows = {row["path"]: row for shard in done.shards for row in map(json.loads, Path(shard).read_text().splitlines())}
    found = {key: [rows[str(path)]["probabilities"][name] for name in CLASSES] for key, path in copies.items()}
    check_answers(found, copies)
    assert rows[str(copies["jpeg", 6])]["flags"] == ["rotated"]


def test_overlays_stand_upright(pushed, copies, tmp_path):
    rows = dict(zip(copies, predict_files(str(pushed), map(str, copies.values()), explain=tmp_path), strict=True))
    for key, row in rows.items():
        overlay = np.asarray(Pillow.open(row.overlay)).astype(int)
        assert overlay.shape == PICTURE.shape, key
        green = overlay[..., 1] - overlay[..., 0]
        assert green[2:30, 2:46].mean() > green[40:, 60:].mean() + 20, key  # the bright corner is top left


def test_an_older_model_sees_what_it_learned_from(old_model, copies):
    assert reading_of(old_model) == {"orientation": "ignore", "alpha": "ignore"}
    paths = [str(copies["png", orientation]) for orientation in range(2, 9)]
    stored = [pictures.encode(np.asarray(Pillow.open(path))) for path in paths]
    plain = answers.load_model(str(old_model)).probabilities(stored)
    for row, expected in zip(predict_files(str(old_model), paths), plain, strict=True):
        assert row.flags == ("orientation_ignored",)
        assert list(row.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_transparent_pictures_are_laid_on_white_by_new_models_alone(pushed, old_model, tmp_path):
    ink = np.zeros([40, 40, 4], np.uint8)
    ink[10:30, 10:30, 3] = 255
    white = np.where(ink[..., 3:] > 0, 0, 255).astype(np.uint8).repeat(3, axis=2)
    paths = [pictures.write(tmp_path / "ink.png", pictures.encode(ink, "png", "RGBA"))]
    paths += [
        pictures.write(tmp_path / f"{n}.png", pictures.encode(p)) for n, p in (("white", white), ("black", white * 0))
    ]
    for model, twin, flag in ((pushed, 1, "alpha"), (old_model, 2, "alpha_ignored")):
        rows = list(predict_files(str(model), map(str, paths)))
        assert flag in rows[0].flags
        assert rows[0].probabilities == pytest.approx(rows[twin].probabilities, abs=1e-5)
