"""The activation map as colour over the picture."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from pipeline.predict.answers import predict_files
from pipeline.predict.overlays import LONGEST_SIDE, colour, draw_overlay, overlay_name
from tests import pictures


def test_colours_grow_brighter_with_the_evidence():
    luma = colour(np.linspace(0, 1, 50)[np.newaxis])[0] @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(luma) > 0)
    assert colour(np.ones([1, 1])).max() <= 255


def test_where_there_is_no_evidence_the_picture_is_left_as_it_is():
    picture = pictures.noise(48, 64, 1)
    activation = np.zeros([3, 4], np.float32)
    drawn = draw_overlay(pictures.encode(picture), activation)
    np.testing.assert_array_equal(drawn, picture)


def test_the_colour_stands_where_the_evidence_is():
    black = np.zeros([60, 80, 3], np.uint8)
    activation = np.zeros([2, 2], np.float32)
    activation[0, 1] = 1.0
    drawn = draw_overlay(pictures.encode(black), activation).sum(axis=-1)
    corners = {"ne": drawn[0, -1], "nw": drawn[0, 0], "se": drawn[-1, -1], "sw": drawn[-1, 0]}
    assert corners["ne"] > 3 * max(corners["nw"], corners["se"], corners["sw"], 1)


def test_large_pictures_give_small_overlays_of_their_shape():
    drawn = draw_overlay(pictures.encode(np.zeros([300, 3000, 3], np.uint8), "jpeg"), np.ones([1, 1], np.float32))
    assert drawn.shape[1] == LONGEST_SIDE
    assert drawn.shape[0] == pytest.approx(LONGEST_SIDE / 10, abs=2)


def test_orientation_is_left_as_the_model_sees_it():
    buffer, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(np.zeros([20, 40, 3], np.uint8)).save(buffer, "jpeg", exif=exif)
    assert draw_overlay(buffer.getvalue(), np.ones([1, 1], np.float32)).shape == (20, 40, 3)


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
