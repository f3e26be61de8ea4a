"""The split that the content decides."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import features
from components.example_gen.split import split_by_content

DIGESTS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
digests = st.binary(max_size=8).map(lambda content: hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_what_was_asked_for(fraction):
    found = sum(split_by_content(digest, fraction) == features.EVAL_SPLIT for digest in DIGESTS) / len(DIGESTS)
    assert found == pytest.approx(fraction, abs=0.025)


@given(digests, st.floats(0.001, 0.999))
def test_the_same_content_is_always_on_the_same_side(digest, fraction):
    assert split_by_content(digest, fraction) == split_by_content(digest, fraction) in features.SPLITS


@given(digests, st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_larger_share_only_moves_images_towards_eval(digest, one, other):
    small, large = sorted((one, other))
    if split_by_content(digest, small) == features.EVAL_SPLIT:
        assert split_by_content(digest, large) == features.EVAL_SPLIT


def test_the_sides_of_known_pictures_never_change():
    assert split_by_content("00000000" + "f" * 56, 0.001) == "eval"
    assert split_by_content("7fffffff" + "0" * 56, 0.5) == "eval"
    assert split_by_content("80000000" + "0" * 56, 0.5) == "train"
    assert split_by_content("ffffffff" + "0" * 56, 0.999) == "train"
