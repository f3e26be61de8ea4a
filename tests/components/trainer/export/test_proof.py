"""What was kept is what the exported model computes, or the run fails."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.trainer.backbones.build import make_backbone, scale_pixels
from components.trainer.export.proof import (
    PROOF_BATCH,
    answer_images,
    check_outliers,
    check_parity,
    open_export,
    parity_limit,
    sample_rows,
)
from components.trainer.features.data import in_content_order, join_splits, read_images, read_split
from components.trainer.features.folding import pool
from components.trainer.outliers.typicality import Typicality
from tests.conftest import EVAL_COUNT, SIDE


@pytest.fixture(scope="module")
def embed(trunk, transform):
    backbone = make_backbone(trunk, (SIDE, SIDE), {}, "imagenet", "-1..1").model
    layer = transform.transform_features_layer()

    def embed(images):
        pixels = layer({features.IMAGE: tf.reshape(images, [-1, 1])})[features.PIXELS]
        return pool(backbone(scale_pixels(pixels, "-1..1"), training=False))

    return embed


@pytest.fixture(scope="module")
def kept(embed, train_records, eval_records):
    """Digests of both splits in content order, with the features that belong to them."""
    both = join_splits(read_split(train_records.pattern), read_split(eval_records.pattern))
    values = embed(tf.constant(train_records.contents + eval_records.contents)).numpy()
    split, values = in_content_order(both, values)
    return split.sha256, values


def test_the_bytes_of_rows_are_read_in_their_order(train_records):
    split = read_split(train_records.pattern)
    assert read_images(split, np.array([5, 0, 30, 5])) == [train_records.contents[row] for row in (5, 0, 30, 5)]
    gone = type(split)(split.files, np.array([*split.sha256[:-1], b"f" * 64], object), split.labels, split.texts)
    with pytest.raises(RuntimeError, match="expected 2 images, got 1 of them"):
        read_images(gone, np.array([0, 35]))


@pytest.mark.parametrize("signature", [features.EMBED, features.SERVE_EXAMPLES])
def test_an_export_on_disk_embeds_as_a_server_does(trained, train_records, embed, signature):
    with open_export(str(trained.path), signature) as ask:
        found = ask(np.array(train_records.contents[:5], object))[features.OUTPUT_FEATURES]
    np.testing.assert_allclose(found, embed(tf.constant(train_records.contents[:5])), atol=1e-4)


def test_an_export_without_the_signature_is_no_proof(trained):
    with pytest.raises(ValueError, match="expected the signature x, found none"), open_export(str(trained.path), "x"):
        pass


@pytest.fixture(scope="module")
def exported(trained):
    """What the session's export tells outliers by."""
    held = tf.saved_model.load(str(trained.path)).outliers
    arrays = {name: getattr(held, name).numpy() for name in ("bank", "scores", "shares")}
    return Typicality(
        neighbours=int(held.neighbours), max_refused=float(held.max_refused), calibrated_on=EVAL_COUNT, **arrays
    )


def test_an_export_tells_outliers_as_calibrated(trained, exported, eval_records):
    with open_export(str(trained.path)) as ask:
        check_outliers(exported, answer_images(ask, np.array(eval_records.contents, object)))


@pytest.mark.parametrize("stale", ["bank", "scores", "shares", "max_refused"])
def test_an_export_with_a_part_of_another_run_fails(trained, exported, eval_records, stale):
    other = {
        "bank": exported.bank[::-1] * np.float32([1, 0] * (exported.bank.shape[1] // 2)),
        "scores": exported.scores + np.float32(0.2),
        "shares": exported.shares**2,
        "max_refused": 1.0 - 1e-6,
    }
    wrong = dataclasses.replace(exported, **{stale: other[stale]})
    said = r"expected outlier of [\d.]+ to [\d.]+ for image \d+ of the proof, got [\d.]+, known (True|False)"
    with open_export(str(trained.path)) as ask:
        answers = answer_images(ask, np.array(eval_records.contents, object))
    with pytest.raises(RuntimeError, match=said):
        check_outliers(wrong, answers)


def test_images_are_asked_about_a_few_at_a_time_and_each_once():
    asked = []

    def ask(images):
        asked.append(len(images))
        return {"label": images, "features": np.arange(len(images) * 2).reshape(-1, 2)}

    images = np.array([b"%d" % number for number in range(PROOF_BATCH + 3)], object)
    answers = answer_images(ask, images)
    assert asked == [PROOF_BATCH, 3]
    assert answers["label"].tolist() == images.tolist()
    assert answers["features"].shape == (PROOF_BATCH + 3, 2)


def test_equal_features_pass_with_their_difference(kept):
    digests, values = kept
    assert 0 < check_parity(values * np.float32(1 + 1e-5), values, digests) < 1e-4
    half = values.astype(np.float16).astype(np.float32)
    assert 0 < check_parity(half, values, digests, parity_limit(feature_dtype="float16")) < 1e-3


@pytest.mark.parametrize("spoil", ["shuffled", "scaled", "not a number"])
def test_other_features_fail_with_both_numbers(kept, spoil):
    digests, values = kept
    spoilt = {"shuffled": values[::-1], "scaled": values * 1.01, "not a number": np.where(values > 0, np.nan, 0)}[spoil]
    with pytest.raises(
        RuntimeError, match=r"expected a difference of at most 2\.0e-03 .*, measured [\dna.e-]+"
    ) as caught:
        check_parity(spoilt[:10], values[:10], digests[:10])
    assert "for image " in str(caught.value)
    assert "over 10 images" in str(caught.value)


def test_one_wrong_image_is_named(kept):
    digests, values = kept
    wrong = values.copy()
    wrong[7] += 0.5
    with pytest.raises(RuntimeError, match=f"for image {digests[7].decode()}"):
        check_parity(wrong, values, digests)


def test_another_width_fails(kept):
    digests, values = kept
    with pytest.raises(RuntimeError, match=r"of shape \(4, 31\), the export's are \(4, 32\)"):
        check_parity(values[:4, 1:], values[:4], digests[:4])


@pytest.mark.parametrize(("old", "new"), [(0, 100), (100, 0), (100, 3), (3, 100), (100, 100), (2, 1)])
def test_a_sample_holds_old_and_new(old, new):
    kept = np.array([True] * old + [False] * new)
    rows = sample_rows(kept, 10)
    assert len(rows) == min(10, old + new)
    assert len(set(rows.tolist())) == len(rows)
    assert kept[rows].sum() >= min(5, old)
    assert (~kept[rows]).sum() >= min(5, new)


def test_half_precision_is_given_more_room():
    assert parity_limit() < parity_limit(feature_dtype="float16") < parity_limit("mixed_float16")
    assert parity_limit("mixed_float16") < parity_limit("mixed_bfloat16") < 0.3
