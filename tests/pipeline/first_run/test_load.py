"""From what was typed to a configuration; and what is said where nothing was typed."""

import pytest

from components.errors import InputError
from pipeline.config.configuration import load_config
from pipeline.first_run.load import describe_images, init_command, load_images, load_target


def said_of(*arguments):
    with pytest.raises(InputError) as raised:
        load_target(*arguments)
    return str(raised.value)


def test_a_configuration_is_taken_as_it_is_and_nothing_is_said(machine):
    (machine / "here" / "a.yaml").write_text("name: mine\n", "utf-8")
    chosen = load_target("a.yaml", ["trainer.epochs=3"], "photos")
    assert (chosen.config, chosen.lines) == (load_config("a.yaml", ["trainer.epochs=3"], "photos"), ())


def test_images_may_be_given_by_the_option_alone(machine):
    assert load_target(None, [], "photos") == load_target("photos")
    assert "nothing is there" in said_of(None, [], "photso")


def test_images_twice_are_refused(machine):
    assert said_of("photos", [], "photos").startswith("--data: the images are given already: photos.")


def test_nothing_typed_names_what_is_here(machine):
    here = machine / "here"
    (here / "my photos" / "train" / "a").mkdir(parents=True)
    (here / "my photos" / "train" / "b").mkdir()
    for label in "ab":
        (here / "my photos" / "train" / label / "1.JPG").touch()
    (here / "config.yaml").write_text("name: mine\n", "utf-8")
    (here / "other.yaml").write_text("nc: 2\n", "utf-8")
    (here / "empty").mkdir()
    (here / "pets.zip").touch()
    text = said_of(None)
    assert text.startswith("Expected the folder of the images, or a configuration.\nType, for example:\n")
    commands = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert commands == [
        "graft run config.yaml",
        "graft run 'my photos'",
        "graft run photos",
        "graft run pets.zip",
        "graft run sample:digits",
    ]


def test_nothing_typed_among_classes_names_the_folder_itself(machine, monkeypatch):
    monkeypatch.chdir(machine / "here" / "photos")
    assert "  graft run .\n" in said_of(None)
    (machine / "none").mkdir()
    monkeypatch.chdir(machine / "none")
    assert "  graft run FOLDER\n" in said_of(None)


def test_a_working_directory_is_no_data(machine):
    work = machine / "here" / "my work"
    (work / "runs").mkdir(parents=True)
    (work / "metadata.sqlite").touch()
    command = "graft run 'my work/runs/latest/config.yaml' --workdir 'my work'"
    assert command in said_of("my work")


def test_one_image_is_for_predict(machine):
    assert "graft predict WORKDIR photos/cats/0.png" in said_of("photos/cats/0.png")


def test_a_configuration_needs_no_init(machine):
    (machine / "here" / "a.yaml").write_text("name: mine\n", "utf-8")
    with pytest.raises(InputError, match=r"Expected images, got the configuration a\.yaml"):
        load_images("a.yaml")


def test_the_command_that_writes_it_down_can_be_pasted(machine):
    chosen = load_target("photos", ["data.classes=[cats, dogs]", "name=x"])
    assert init_command(chosen) == "graft init photos --set 'data.classes=[cats, dogs]' --set name=x"


def test_the_head_of_a_file_says_where_it_is_from_and_how_images_are_understood(machine):
    lines = describe_images(load_target("photos/", ["name=x"]))
    assert lines[:2] == ["Made by: graft init photos/ --set name=x", "The same as: graft run photos/ --set name=x"]
    assert "the class is the first folder: 2 classes, 'cats', 'dogs'" in lines
    assert describe_images(load_target("sample:digits"))[0] == "Made by: graft init sample:digits"


def test_an_empty_folder_is_said_before_anything_is_written(machine):
    (machine / "here" / "empty").mkdir()
    with pytest.raises(InputError, match="found no images in"):
        describe_images(load_target("empty"))
