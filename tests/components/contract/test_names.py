"""Which names are one."""

import unicodedata

import pytest

from components.contract.names import canonical, key_of

CAFE = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]


@pytest.mark.parametrize("name", [*CAFE, f" {CAFE[1]}", f"{CAFE[0]}\u00a0", f"{CAFE[0]}\n"])
def test_names_are_composed_and_without_blanks_around_them(name):
    assert canonical(name) == CAFE[0]


@pytest.mark.parametrize(
    "name",
    [
        "cat dog",
        "CAT DOG",
        "Cat  dog ",
        "\uff43\uff41\uff54 dog",
        "cat\u200b dog",
        "cat\u00a0dog",
        "\ufeffcat dog",
        "cat\tdog",
    ],
)
def test_names_that_people_take_for_one_have_one_key(name):
    assert key_of(name) == "cat dog"


def test_keys_are_of_each_level():
    assert key_of("Animals /cats") == key_of("animals/ Cats")
    assert key_of("a b") != key_of("ab") != key_of("a/b")
