"""View k of an image is always the same picture."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.features.augment import Augmentation, View, augment_pixels, describe_cost
from tests import pictures

DIGESTS = np.array([hashlib.sha256(b"%d" % number).digest() for number in range(400)], "S32")
EVERYTHING = Augmentation("both", rotation=20, zoom=0.3, brightness=0.2, contrast=0.3)


def batch_of(count, height=24, width=32):
    return np.stack([pictures.smooth(height, width, seed) for seed in range(count)]).astype(np.float32)


def view_of(pixels, augmentation, digests=None, **view):
    digests = DIGESTS[: len(pixels)] if digests is None else digests
    draws = View(augmentation, **{"seed": 1, "number": 1, **view}).draws(digests)
    return augment_pixels(tf.constant(pixels), tf.constant(draws), augmentation).numpy()


def test_draws_are_even_and_belong_to_seed_image_and_number():
    draws = View(EVERYTHING, 1, 1).draws(DIGESTS)
    assert draws.shape == (400, 8)
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.06)
    np.testing.assert_array_equal(View(EVERYTHING, 1, 1).draws(DIGESTS[::-1]), draws[::-1])
    for other in (View(EVERYTHING, 2, 1), View(EVERYTHING, 1, 2)):
        assert (other.draws(DIGESTS) != draws).any(axis=1).all()


def test_draws_never_change():
    """Kept features belong to them."""
    expected = [0.945283, 0.339702, 0.698245, 0.615997, 0.295131, 0.527493, 0.483242, 0.054691]
    found = View(EVERYTHING, 7, 3).draws(DIGESTS[:1])[0]
    raw = hashlib.sha256(b"7/3/" + hashlib.sha256(b"0").digest()).digest()
    np.testing.assert_array_equal(found, (np.frombuffer(raw, "<u4") >> 8) / np.float32(1 << 24))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_view_does_not_depend_on_its_batch():
    pixels = batch_of(9)
    whole = view_of(pixels, EVERYTHING)
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(view_of(pixels[order], EVERYTHING, DIGESTS[order]), whole[order], atol=1e-3)
    for row in range(9):
        np.testing.assert_allclose(view_of(pixels[[row]], EVERYTHING, DIGESTS[[row]])[0], whole[row], atol=1e-3)
    assert np.abs(whole - view_of(pixels, EVERYTHING, number=2)).max() > 10


def test_no_augmentation_changes_nothing():
    pixels = batch_of(3)
    np.testing.assert_array_equal(view_of(pixels, Augmentation()), pixels)
    assert not Augmentation().changes_anything
    assert EVERYTHING.changes_anything


@pytest.mark.parametrize(("flip", "kinds"), [("horizontal", {"same", "x"}), ("both", {"same", "x", "y", "xy"})])
def test_a_flip_mirrors_exactly(flip, kinds):
    pixels = batch_of(40)
    found = set()
    for image, view in zip(pixels, view_of(pixels, Augmentation(flip=flip)), strict=True):
        candidates = {"same": image, "x": image[:, ::-1], "y": image[::-1], "xy": image[::-1, ::-1]}
        (kind,) = (name for name, wanted in candidates.items() if np.abs(view - wanted).max() < 1e-2)
        found.add(kind)
    assert found == kinds


def test_a_zoom_is_a_crop_of_the_image():
    """A ramp shows where each pixel came from."""
    ramp = np.tile(np.arange(100, dtype=np.float32)[None, :, None], (60, 1, 3))
    views = view_of(np.stack([ramp] * 200), Augmentation(zoom=0.5))
    spans = views[:, 30, -1, 0] - views[:, 30, 0, 0]
    assert views.min() >= -1e-3
    assert views.max() <= 99.001
    assert 49 <= spans.min() < 56
    assert 92 < spans.max() <= 99.001
    lefts = views[spans < 60, 30, 0, 0]
    assert lefts.min() < 8  # anywhere, not the middle only
    assert lefts.max() > 32


def test_a_rotation_turns_about_the_middle():
    pixels = np.zeros([200, 41, 41, 3], np.float32)
    pixels[:, 20, 20:, :] = 255.0  # a hand that points to the right
    views = view_of(pixels, Augmentation(rotation=30))
    y, x = np.mgrid[-20:21, -20:21]
    ring = (np.hypot(x, y) > 10) & (np.hypot(x, y) < 18)
    weights = views[..., 0] * ring
    angles = np.degrees(np.arctan2((weights * y).sum((1, 2)), (weights * x).sum((1, 2))))
    assert -31 < angles.min() < -25
    assert 25 < angles.max() < 31
    assert np.abs(views[:, 20, 20, 0] - 255).max() < 1e-2


def test_colour_stays_in_its_range():
    pixels = np.clip(batch_of(50) * 2 - 128, 0, 255)
    brighter = view_of(pixels, Augmentation(brightness=0.5)).mean(axis=(1, 2, 3)) - pixels.mean(axis=(1, 2, 3))
    assert brighter.min() < -40
    assert brighter.max() > 40
    harder = view_of(pixels, Augmentation(contrast=0.5)).std(axis=(1, 2, 3)) / pixels.std(axis=(1, 2, 3))
    assert harder.min() < 0.7
    assert harder.max() > 1.1
    views = view_of(pixels, EVERYTHING)
    assert views.dtype == np.float32
    assert views.min() >= 0
    assert views.max() <= 255


def test_the_key_holds_all_that_decides_a_view():
    facts = View(EVERYTHING, 5, 2).facts()
    assert facts == {
        "flip": "both",
        "rotation": 20,
        "zoom": 0.3,
        "brightness": 0.2,
        "contrast": 0.3,
        "seed": 5,
        "number": 2,
    }


def test_the_cost_is_said():
    assert describe_cost(2000, 3, 20, 500.0) == (
        "augmentation: 2,000 images x 3 kept views = 6,000 backbone passes, about 12 s, once, then from the store"
    )
    assert "2,000 images x fresh views in 20 epochs = 40,000 backbone passes, about 80 s" in describe_cost(
        2000, 0, 20, 500.0
    )
    assert "6,000 backbone passes, once" in describe_cost(2000, 3, 20)
