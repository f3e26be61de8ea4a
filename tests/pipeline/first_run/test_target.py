"""A configuration is told from images by what is there; where neither fits, the error says what to do."""

import pytest

from components.errors import InputError
from pipeline.first_run.target import is_config, make_name, refuse_other_images

CONFIG = "data: {path: photos}\ntrainer: {epochs: 3}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", CONFIG),
        ("a.YML", "trainer: {}\n"),
        ("empty.yaml", ""),
        ("extended.yaml", "extends: a.yaml\n"),
        ("no-suffix", CONFIG),
        ("a.json", '{"trainer": {"epochs": 3}}'),
        ("wrong.yaml", "trainer: {epocs: 3}\n"),  # what is wrong in it is said when it is read
        ("broken.yaml", "a: [1\n b: {"),
    ],
)
def test_configurations_are_told_by_suffix_or_sections(here, name, content):
    (here / name).write_text(content, "utf-8")
    assert is_config(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "path,label\na.jpg,cat\n"),
        ("coco.json", '{"images": [], "annotations": [], "categories": []}'),
        ("export.json", '{"data": [{"path": "a.jpg", "label": "cat"}]}'),
        ("pairs.json", '{"a.jpg": "cat"}'),
        ("pets.zip", "PK\x03\x04"),
        ("notes.txt", "hello: world\n"),
        ("empty", ""),
    ],
)
def test_files_without_sections_are_images_or_for_who_reads_images_to_refuse(here, name, content):
    (here / name).write_text(content, "utf-8")
    assert not is_config(name)


@pytest.mark.parametrize("target", ["photos", "photos/", ".", "sample:digits", "s3://bucket/pets", "named.yaml"])
def test_folders_samples_and_addresses_are_images(here, target):
    (here / "named.yaml").mkdir()
    assert not is_config(target)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("photso", "Expected images or a configuration at photso: nothing is there. Did you mean 'photos'?"),
        ("photso/", "Did you mean 'photos'?"),
        ("below/photso", "Expected images or a configuration at below/photso: nothing is there.\nGive a folder"),
        (
            "conifg.yaml",
            "Expected a configuration file at conifg.yaml: No such file or directory. Did you mean 'config.y",
        ),
        ("s3://bucket/a.yaml", "Configurations are read from this machine, got s3://bucket/a.yaml.\nCopy"),
        ("sample:digitz", "there is no sample 'digitz'; known: sample:digits"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest_name(here, target, words):
    (here / "config.yaml").write_text(CONFIG, "utf-8")
    with pytest.raises(InputError) as raised:
        is_config(target)
    assert words in str(raised.value)


def test_a_yaml_file_of_another_program_is_named_with_its_keys(here):
    (here / "data.yaml").write_text("train: ../train\nval: ../val\nnc: 2\nnames: [a, b]\n", "utf-8")
    with pytest.raises(InputError, match=r"data\.yaml is no configuration of Graft: .* got train, val, nc, names"):
        is_config("data.yaml")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos", "photos"),
        ("photos/", "photos"),
        ('/a/My Pet\'s "best" Photos!/', "my-pet-s-best-photos"),
        ("sample:digits", "digits"),
        ("s3://bucket/Pets/", "pets"),
        ("s3://bucket", "bucket"),
        ("pets.tar.gz", "pets"),
        ("labels.csv", "labels"),
        ("été", "ete"),
        ("/", "images"),
        ("x" * 200, "x" * 63),
        ("a/" + "-" * 70 + "b", "b"),
    ],
)
def test_the_name_is_made_of_small_letters_digits_and_dashes(data, name):
    assert make_name(data) == name


def test_names_without_such_letters_stay_apart():
    names = {make_name(name) for name in ("صور", "صور2", "照片", "\udcff")}
    assert len(names) == 4
    assert all(name.startswith("images-") or name == "2" for name in names)


def test_a_dot_is_the_folder_that_one_is_in(here, monkeypatch):
    monkeypatch.chdir(here / "photos")
    assert make_name(".") == "photos"
    assert make_name("..") == make_name(str(here))


def test_a_working_directory_of_other_images_of_that_name_is_refused(here, tmp_path):
    run = here / "work" / "photos" / "runs" / "latest"
    run.mkdir(parents=True)
    (here / "other" / "photos").mkdir(parents=True)
    refuse_other_images(here / "work" / "photos", "photos", "graft run photos")  # nothing ran there yet
    (run / "config.yaml").write_text(f"data: {{path: {here}/other/photos}}\n", "utf-8")
    with pytest.raises(InputError, match=r"graft run photos --workdir .*/work/photos-2"):
        refuse_other_images(here / "work" / "photos", "photos", "graft run photos")
    refuse_other_images(here / "work" / "photos", f"{here}/other/../other/photos", "graft run photos")
    for named in ("sample:photos", "s3://bucket/photos"):
        (run / "config.yaml").write_text(f"data: {{path: '{named}'}}\n", "utf-8")
        refuse_other_images(here / "work" / "photos", named, "graft run photos")
        with pytest.raises(InputError, match=f"is the one of {named}"):
            refuse_other_images(here / "work" / "photos", "photos", "graft run photos")
    (run / "config.yaml").write_text(f"data: {{path: {here}/other/photos}}\n", "utf-8")
    (here / "other" / "photos").rmdir()  # they moved
    refuse_other_images(here / "work" / "photos", "photos", "graft run photos")
