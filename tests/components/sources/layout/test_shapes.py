"""What names tell of folders: wrappers, and what a class is called."""

import pytest

from components.sources.layout import shapes


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/x/c", "b/x/c"], ["a", "b"]),
        (["w/a", "w/a/b"], ["a", "a/b"]),
        (["cats/images", "animals/dogs/images"], ["cats", "animals/dogs"]),
        (["a", "b/a"], ["a", "b/a"]),
        (["a/b/c"], ["c"]),
        ([], []),
    ],
)
def test_levels_that_are_the_same_for_all_are_dropped(paths, expected):
    assert shapes.shorten_paths(paths) == expected


@pytest.mark.parametrize(
    ("names", "folders", "expected"),
    [
        (["data/cats/1.jpg", "data/dogs/1.jpg", "README"], [], "data/"),
        (["data/cats/1.jpg", "data/dogs/1.jpg", "notes/a.txt", "models/x.h5"], [], "data/"),
        (["x/data/cats/1.jpg", "x/data/dogs/1.jpg", "x/notes/a.txt"], [], "x/data/"),
        (["data/w/cats/1.jpg", "data/w/dogs/1.jpg", "data/w/n/1.txt", "notes/a.txt"], [], ""),
        (["a/x/1.jpg", "b/z/wrong.suffix"], [], ""),
        (["animals/cats/1.jpg", "animals/dogs/1.jpg"], ["things"], ""),
        (["cats/1.jpg", "cats/a/1.jpg", "cats/b/1.jpg", "dogs/1.txt"], [], ""),
        (["cats/1.jpg", "dogs/1.jpg"], [], ""),
    ],
)
def test_a_wrapper_is_looked_through_beside_what_holds_no_images(names, folders, expected):
    assert shapes.find_wrapper(shapes.shape_of(names, folders)) == expected


def test_a_folder_in_one_of_its_own_name_is_one_level():
    assert shapes.merge_levels("cats/cats") == "cats"
    assert shapes.merge_levels("a/Cats/cats/b") == "a/Cats/b"
    assert shapes.merge_levels("cats/dogs/cats") == "cats/dogs/cats"
