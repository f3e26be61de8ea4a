"""What tells outliers: which images the bank holds, distances and answers against plain loops, and the promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.trainer.features.data import Split, take_rows
from components.trainer.outliers import typicality
from components.trainer.outliers.typicality import (
    BANK_BYTES,
    BANK_ROWS,
    SCORES,
    Typicality,
    choose_rows,
    count_sample,
    measure_distances,
    summarise_scores,
)


def split_of(labels, seed=0):
    """A split of images with these labels and random digests."""
    draws = np.random.default_rng(seed).integers(0, 2**62, len(labels))
    digests = np.array([f"{draw:064x}".encode() for draw in draws], object)
    return Split([], digests, np.asarray(labels, np.int64), np.array([b""] * len(labels), object))


def typicality_of(values, labels, evaluation, max_refused=0.05):
    return Typicality.of(values.astype(np.float32), np.asarray(labels), evaluation.astype(np.float32), max_refused)


def calibrated(distances):
    """One whose good images are this far away."""
    scores, shares = summarise_scores(np.asarray(distances, float))
    return Typicality(np.ones([1, 1], np.float32), 1, scores, shares, 0.05, len(distances))


def cosine(one, other):
    return float(np.dot(one, other) / np.sqrt(np.dot(one, one) * np.dot(other, other)))


def test_the_answer_is_that_of_plain_loops():
    draw = np.random.default_rng(1)
    train, good, new = draw.normal(1, 1, [40, 6]), draw.normal(1, 1, [30, 6]), draw.normal(0, 1, [50, 6])
    model = typicality_of(train, np.arange(40) % 2, good)
    assert model.neighbours == 5

    def distance(image):
        return 1 - np.mean(sorted(cosine(image, row) for row in train)[-5:])

    usual = [distance(image) for image in good]
    expected = [(1 + sum(row >= distance(image) for row in usual)) / 31 for image in new]
    np.testing.assert_allclose(model.outlier(new.astype(np.float32)), expected, atol=1e-6)


def test_length_means_nothing_and_what_is_no_number_is_an_outlier():
    draw = np.random.default_rng(2)
    train = draw.normal(1, 0.1, [20, 4])
    model = typicality_of(train, np.zeros(20, int), draw.normal(1, 0.1, [39, 4]))
    image = train[:1].astype(np.float32)
    np.testing.assert_allclose(model.outlier(image), model.outlier(image * 1000))
    odd = np.array([[np.nan] * 4, [np.inf] * 4, [0.0] * 4, [-1.0] * 4], np.float32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(model.outlier(odd), 1 / 40)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_of_exchangeable_images_no_more_than_promised_are_refused(images, decimals, seed):
    """Whatever the distances are, ties included: the new image is equally likely to be any of images + 1."""
    distances = np.random.default_rng(seed).gamma(2.0, size=images + 1).round(decimals)
    for share in (0.01, 0.05, 0.3):
        refused = 0
        for new in np.unique(distances, return_index=True)[1]:
            answer = calibrated(np.delete(distances, new)).share_beyond(distances[new : new + 1])[0]
            refused += int(answer <= np.float32(share)) * int((distances == distances[new]).sum())
        assert refused <= share * (images + 1) + 1e-9


@pytest.mark.parametrize("images", [SCORES + 1, 2_500, 60_000])
def test_however_many_images_there_are_an_export_holds_few_scores_and_answers_nearly_the_same(images):
    distances = np.random.default_rng(3).gamma(2.0, size=images)
    model, new = calibrated(distances), np.linspace(0, 12, 500)
    exact = (1 + (distances >= new[:, None] - typicality.TIE).sum(axis=1)) / (images + 1)
    found = model.share_beyond(new)
    assert len(model.scores) == SCORES
    assert (found - exact).max() < 1.1 / SCORES
    assert (found - exact).min() > -1e-4  # float32, which joins distances that are nearly equal


def test_no_more_eval_images_count_than_the_bound(monkeypatch):
    monkeypatch.setattr(typicality, "CALIBRATED_ON", 10)
    model = typicality_of(np.ones([3, 2]), [0, 0, 1], np.ones([25, 2]))
    assert (len(model.scores), model.facts()["calibrated_on"]) == (10, 10)


@pytest.mark.parametrize(
    ("max_refused", "images"), [(0.0, 500), (0.05, 500), (0.5, 500), (0.01, 2500), (0.001, 10_000)]
)
def test_a_smaller_promise_is_calibrated_on_more_images(max_refused, images):
    assert count_sample(max_refused) == images


def test_what_the_sample_refuses_of_further_images_strays_by_one_point():
    draws = np.random.default_rng(0).random((400, count_sample(0.05)))
    refused = [1 - np.sort(scores)[-25] for scores in draws]  # of further scores, equally likely anywhere in 0..1
    assert np.mean(refused) == pytest.approx(0.05, abs=0.002)
    assert np.std(refused) == pytest.approx(0.01, abs=0.002)


def test_without_an_eval_image_everything_is_known():
    model = typicality_of(np.ones([3, 2]), [0, 0, 1], np.zeros([0, 2]))
    assert model.outlier(np.array([[1, 1], [-1, 0]], np.float32)).tolist() == [1.0, 1.0]
    assert Typicality.blank(2).outlier(np.ones([1, 2], np.float32)).tolist() == [1.0]


def test_images_that_are_all_alike_are_typical():
    """A backbone may give nearly the same for every image; rounding must not make outliers of them."""
    same = np.ones([50, 8]) + np.random.default_rng(4).normal(0, 1e-6, [50, 8])
    assert typicality_of(same[:20], np.zeros(20), same[20:40]).outlier(same[40:].astype(np.float32)).min() == 1.0


@pytest.mark.parametrize(
    ("width", "rows"), [(4, BANK_ROWS), (1_280, BANK_BYTES // (4 * 1_280)), (2_560, BANK_BYTES // (4 * 2_560))]
)
def test_the_bank_is_bounded_in_rows_and_bytes(width, rows):
    chosen = choose_rows(split_of(np.arange(3_000) % 3), width)
    assert len(chosen) == len(set(chosen)) == rows
    assert rows * width * 4 <= BANK_BYTES


def test_every_class_is_in_the_bank_and_a_rare_one_whole():
    labels = np.array([0] * 2_000 + [1] * 7 + [2] * 1_000)
    chosen = labels[choose_rows(split_of(labels), 2_000)]
    counts = np.bincount(chosen)
    assert counts[1] == 7
    assert abs(counts[0] - counts[2]) <= 1
    many = choose_rows(split_of(np.arange(2_400) % 1_200), 8)
    assert sorted((many % 1_200).tolist()) == list(range(1_200))


def test_the_bank_is_the_same_in_any_order_of_the_records():
    split = split_of(np.arange(1_500) % 2)
    other = take_rows(split, np.random.default_rng(5).permutation(1_500))
    first, second = (part.sha256[choose_rows(part, 2_000)].tolist() for part in (split, other))
    assert first == second == sorted(first)


def test_no_more_neighbours_count_than_the_rarest_class_has():
    values, labels = np.random.default_rng(6).normal(size=[9, 3]), [0] * 7 + [1] * 2
    assert typicality_of(values, labels, values).neighbours == 2
    assert typicality_of(values[:2], [0, 1], values).neighbours == 1


def test_the_facts_tell_banks_calibrations_and_promises_apart():
    draw = np.random.default_rng(7)
    train, good = draw.normal(size=[9, 3]), draw.normal(size=[9, 3])
    given_to = [(train, good, 0.05), (train[::-1], good, 0.05), (train, good[:8], 0.05), (train, good, 0.1)]
    digests = {typicality_of(bank, [0] * 9, eval_, share).facts()["sha256"] for bank, eval_, share in given_to}
    assert len(digests) == 4
    assert typicality_of(train, [0] * 9, good).facts() == typicality_of(train, [0] * 9, good).facts()
    assert typicality_of(train, [0] * 9, good).facts()["max_refused"] == 0.05


def test_distances_do_not_depend_on_how_many_images_are_measured_at_once(monkeypatch):
    draw = np.random.default_rng(8)
    values, bank = draw.normal(size=[20, 5]).astype(np.float32), draw.normal(size=[6, 5]).astype(np.float32)
    whole = measure_distances(values, bank, 2)
    monkeypatch.setattr(typicality, "AT_ONCE", 3)
    np.testing.assert_allclose(measure_distances(values, bank, 2), whole, atol=1e-6)
