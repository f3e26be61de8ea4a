"""What systems and tools write is no data and no class, wherever it lies."""

import pytest

from components.sources.layout.aside import SYSTEM_NAMES, why_ignored
from components.sources.listing import IGNORED


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cats/1.jpg", ""),
        ("cats/.1.jpg", "hidden"),
        (".git/a/b", "hidden"),
        ("cats/._1.jpg", "hidden"),
        ("cats/.DS_Store", "hidden"),
        ("cats/Thumbs.db", "system"),
        ("cats/DESKTOP.INI", "system"),
        ("__MACOSX/cats/1.jpg", "system"),
    ],
)
def test_hidden_and_system_files_are_left_aside(name, why):
    assert why_ignored(name) == why
    assert not why or why in IGNORED


@pytest.mark.parametrize("name", sorted(SYSTEM_NAMES))
def test_names_of_systems_count_in_any_case_and_at_any_depth(name):
    for spelling in (name, name.upper(), name.title()):
        assert why_ignored(spelling) == "system"
        assert why_ignored(f"cats/{spelling}/1.jpg") == "system"


@pytest.mark.parametrize("name", ["cats/1.jpg@SynoResource", "FOUND.000/1.jpg", "cats/1.jpg:Zone.Identifier"])
def test_names_that_systems_derive_are_theirs(name):
    assert why_ignored(name) == "system"


@pytest.mark.parametrize(
    "name", ["icon/1.jpg", "lost/1.jpg", "recycle/1.jpg", "found/1.jpg", "cats/@1.jpg", "tmp/1.jpg"]
)
def test_names_of_classes_are_left_alone(name):
    assert why_ignored(name) == ""
