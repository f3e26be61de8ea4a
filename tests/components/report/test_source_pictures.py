"""Pictures of files that are in no example."""

import zipfile

import pytest

from components.report import source_pictures
from components.report.pictures import Pictures
from components.report.source_pictures import SourcePictures
from tests import pictures

CONTENT = pictures.encode(pictures.noise(20, 20, 5), "png")


def rejected(run, name="odd/x.png", reason="conflicting_label", content=CONTENT):
    row = run.add(name, "cats", content=content)
    row.reject(reason, "")
    return row


def test_a_file_is_drawn_once(made_run):
    row, wanted = rejected(made_run), Pictures()
    files = SourcePictures(made_run.inputs(), wanted)
    assert [files.want(row), files.want(row)] == ["file/odd/x.png"] * 2
    assert wanted.drawn["file/odd/x.png"].startswith("data:image/webp;base64,")


def test_an_example_is_asked_for_by_its_digest(made_run):
    made_run.write()
    row, wanted = made_run.rows[0], Pictures()
    assert SourcePictures(made_run.inputs(), wanted).want(row) == row.sha256
    assert (list(wanted.thumbs), wanted.drawn) == ([row.sha256], {})


@pytest.mark.parametrize("change", ["gone", "other", "folder", "data"])
def test_what_is_no_longer_there_has_no_picture(made_run, change):
    row = rejected(made_run)
    path = made_run.data / row.name
    if change == "data":
        path.parent.parent.rename(made_run.folder / "elsewhere")
    else:
        path.unlink()
    if change == "other":
        path.write_bytes(pictures.encode(pictures.noise(20, 20, 6), "png"))
    if change == "folder":
        path.mkdir()
    wanted = Pictures()
    assert SourcePictures(made_run.inputs(), wanted).want(row) == ""
    assert wanted.drawn == {}


def test_of_a_cut_file_the_rows_that_are_there_are_drawn(made_run):
    whole = pictures.encode(pictures.noise(200, 200, 5), "jpeg")
    cut, broken = (
        rejected(made_run, f"{reason}.jpg", reason, content=whole[: len(whole) // 2])
        for reason in ("truncated", "undecodable")
    )
    files = SourcePictures(made_run.inputs(), Pictures())
    assert [bool(files.want(row)) for row in (cut, broken, cut)] == [True, False, True]


@pytest.mark.parametrize("reason", ["too_large", "empty", "not_an_image", "unreadable"])
def test_what_would_cost_too_much_or_cannot_decode_is_not_read(made_run, reason, monkeypatch):
    monkeypatch.setattr(source_pictures, "read_source", lambda *_: pytest.fail("read"))
    row = rejected(made_run, reason=reason)
    assert SourcePictures(made_run.inputs(), Pictures()).want(row) == ""


def test_no_more_files_are_read_than_a_page_may(made_run, monkeypatch):
    monkeypatch.setattr(source_pictures, "DRAWN", 2)
    rows = [rejected(made_run, f"{n}.png") for n in range(4)]
    files = SourcePictures(made_run.inputs(), Pictures())
    assert [bool(files.want(row)) for row in rows] == [True, True, False, False]


def archive(run, path):
    with zipfile.ZipFile(path, "w") as packed:
        for label in ("cats", "dogs"):
            packed.writestr(f"{label}/ok.png", pictures.encode(pictures.noise(20, 20, len(label)), "png"))
        packed.writestr("cats/x.png", CONTENT)
    return rejected(run, "cats/x.png")


def test_a_member_of_an_archive_is_drawn(made_run):
    made_run.data.mkdir(exist_ok=True)
    row = archive(made_run, made_run.folder / "pets.zip")
    inputs = made_run.inputs(data_path=str(made_run.folder / "pets.zip"))
    assert SourcePictures(inputs, Pictures()).want(row) == "file/cats/x.png"


def test_an_archive_of_very_many_files_is_not_listed_again(made_run, monkeypatch):
    monkeypatch.setattr(source_pictures, "list_sources", lambda *_: pytest.fail("listed"))
    monkeypatch.setattr(source_pictures, "MAX_LISTED", 3)
    row = archive(made_run, made_run.folder / "pets.zip")
    inputs = made_run.inputs(data_path=str(made_run.folder / "pets.zip"))
    assert SourcePictures(inputs, Pictures()).want(row) == ""


def test_remote_data_is_not_read(made_run, monkeypatch):
    monkeypatch.setattr(source_pictures, "read_source", lambda *_: pytest.fail("read"))
    row = rejected(made_run)
    assert SourcePictures(made_run.inputs(data_path="gs://bucket/pets"), Pictures()).want(row) == ""
