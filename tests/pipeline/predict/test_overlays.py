"""Overlays in a folder, one file an image."""

import json
import shutil

import numpy as np
from PIL import Image as Pillow

from components.contract import features
from components.registry.find import find_model
from pipeline.predict.answers import predict_files
from pipeline.predict.overlays import overlay_name
from tests import pictures

GREEN = (30, 220, 30)


def test_names_do_not_collide_and_stay():
    names = [overlay_name(name) for name in ("x/a.jpg", "y/a.jpg", "x/a.png", "a/../b c\udce9.jpg")]
    assert len(set(names)) == 4
    assert names[0] == overlay_name("x/a.jpg")
    assert names[3].startswith("b_c_-")
    assert all("/" not in name and name.isascii() for name in names)


def test_each_good_image_gets_a_file(pushed, photos):
    rows = list(predict_files(str(pushed), ["a.png", "text.txt", "b.jpg"], explain=photos / "out"))
    assert [bool(row.overlay) for row in rows] == [True, False, True]
    for row in rows[::2]:
        with Pillow.open(row.overlay) as overlay, Pillow.open(row.path) as picture:
            assert overlay.size == picture.size


def test_a_model_that_crops_says_so_and_its_overlays_follow(pushed, photos):
    copied = photos / "model"
    shutil.copytree(find_model(str(pushed)), copied, ignore=shutil.ignore_patterns("passport.json"))
    facts = copied / "assets" / features.FACTS_ASSET
    content = json.loads(facts.read_text("utf-8")) | {features.CROP_FACT: True}
    facts.write_text(json.dumps(content), "utf-8")
    picture = np.full([64, 192, 3], GREEN, np.uint8)  # which this model has evidence for at every place
    green = pictures.write(photos / "green.png", pictures.encode(picture))

    def drawn(model):
        (row,) = predict_files(str(model), [str(green)], explain=photos / "out")
        with Pillow.open(row.overlay) as overlay:
            return np.abs(np.asarray(overlay, int) - picture)

    plain, cropped = drawn(pushed), drawn(copied)
    assert plain[:, :48].max() > 20
    assert cropped[:, 64:128].max() > 20
    assert max(cropped[:, :48].max(), cropped[:, 144:].max()) < 5  # JPEG rounds, and blurs edges by some pixels
