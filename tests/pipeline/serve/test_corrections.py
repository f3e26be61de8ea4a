"""Corrections: what is written is what ingest reads, whole, whoever else writes; and what cannot be is refused."""

import csv
import hashlib
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.contract.names import key_of
from components.errors import InputError
from components.options.data import DataOptions
from pipeline.check import check_data
from pipeline.serve.corrections import Correction, Corrections
from pipeline.serve.rest import ServingError
from tests import pictures

CLASSES = ["Cat", "dog"]
ODD = ['a,"b";c', "<img src=x onerror=alert(1)>", "قطة", "猫", "=1+1", "a|b;c,d", "x" * 255, "it's", "3", "train"]


def image(seed, form="png"):
    return pictures.encode(pictures.noise(40, 30, seed), form)


def give(corrections, content, label, predicted="Cat", version=7):
    return corrections.record(Correction(content, label, predicted, version), CLASSES)


def rows(corrections):
    with open(corrections.manifest, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def corrections(tmp_path):
    return Corrections.open(str(tmp_path / "made" / "here"))


def test_a_correction_is_an_image_and_a_row(corrections):
    content = image(1, "jpeg")
    recorded = give(corrections, content, "dog")
    assert (recorded.label, recorded.replaced, recorded.images) == ("dog", "", 1)
    (row,) = rows(corrections)
    assert row["path"] == f"images/{hashlib.sha256(content).hexdigest()}.jpg"
    assert (corrections.folder / row["path"]).read_bytes() == content
    assert (row["label"], row["predicted"], row["version"]) == ("dog", "Cat", "7")
    assert row["time"].startswith("20")
    assert row["time"].endswith("Z")


def test_the_last_word_on_an_image_counts(corrections):
    give(corrections, image(1), "dog")
    give(corrections, image(2), "dog")
    recorded = give(corrections, image(1), "bird")
    assert (recorded.label, recorded.replaced, recorded.images) == ("bird", "dog", 2)
    assert [row["label"] for row in rows(corrections)] == ["dog", "bird"]


WIDE = "\uff44\uff4f\uff47"


@pytest.mark.parametrize(
    ("typed", "label"),
    [(" dog\n", "dog"), ("DOG", "dog"), ("cat", "Cat"), (WIDE, "dog"), ("cafe\u0301", "café")],
)
def test_a_label_is_that_of_ingest_and_of_the_model(corrections, typed, label):
    assert give(corrections, image(1), typed).label == label


def test_a_new_class_is_spelt_as_the_first_time_and_as_a_later_model_spells_it(corrections):
    give(corrections, image(1), "Otter")
    assert give(corrections, image(2), "otter").label == "Otter"
    corrections.record(Correction(image(3), "OTTER", "Cat", 8), ["otter"])
    assert {row["label"] for row in rows(corrections)} == {"otter"}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        *((label, "expected the name of a class, on one line") for label in ("", " ", "a\nb", "a\tb", "\0", "\u200d")),
        ("\ud800", "expected the name of a class"),
        ("x" * 256, "expected at most 255 characters, received 256"),
        ('{"choices": ["a", "b"]}', "ingest would read '' in the place of"),
    ],
)
def test_what_cannot_name_a_class_is_refused_and_nothing_is_written(corrections, label, message):
    with pytest.raises(ServingError, match=message) as caught:
        give(corrections, image(1), label)
    assert caught.value.status == 400
    assert not corrections.manifest.exists()
    assert list((corrections.folder / "images").iterdir()) == []


def test_ingest_takes_the_manifest_as_it_is(corrections):
    forms = ("png", "jpeg", "gif", "bmp", "webp", "tiff")
    for index, label in enumerate([*ODD, *CLASSES] * 2):
        give(corrections, image(index, forms[index % len(forms)]), label)
    give(corrections, image(0), "dog")
    data = check_data(DataOptions(path=str(corrections.manifest)), None, lambda *_: None)
    accepted = {row.name: row.label for row in data.scan.rows if not row.reason}
    assert accepted == {row["path"]: row["label"] for row in rows(corrections)}
    assert len(accepted) == 24
    assert not any("wrong_suffix" in row.flags for row in data.scan.rows)


def test_many_at_once_lose_no_row(corrections):
    def work(index):
        give(Corrections.open(str(corrections.folder)), image(index % 20), f"class {index}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    found = rows(corrections)
    assert len(found) == len({row["path"] for row in found}) == 20
    assert len({row["label"] for row in found}) == 20


def write_some(folder, first):
    corrections = Corrections.open(folder)
    for index in range(first, first + 10):
        give(corrections, image(index), "dog")


def test_two_servers_share_a_folder(corrections):
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=write_some, args=(str(corrections.folder), first)) for first in (0, 100)]
    for other in others:
        other.start()
    write_some(str(corrections.folder), 200)
    for other in others:
        other.join()
    assert len(rows(corrections)) == 30


def test_a_folder_that_was_moved_away_is_begun_anew(corrections, tmp_path):
    give(corrections, image(1), "dog")
    corrections.folder.rename(tmp_path / "elsewhere")
    assert give(corrections, image(2), "dog").images == 1


def test_a_full_disk_leaves_the_manifest_as_it_was(corrections, monkeypatch):
    give(corrections, image(1), "dog")
    before = corrections.manifest.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("components.registry.pointer.os.fsync", full)
    with pytest.raises(ServingError, match=r"The correction is not written: .*No space left") as caught:
        give(corrections, image(2), "dog")
    assert caught.value.status == 500
    assert corrections.manifest.read_bytes() == before
    assert [path.name for path in corrections.folder.iterdir() if "manifest" in path.name] == ["manifest.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\na.png,cat\n", "expected the columns path,label,predicted,version,time .* found file,class"),
        ("path,label,predicted,version,time\na.png,cat\n", "expected the columns"),
        ('path,label,predicted,version,time\n"a', "cannot read"),
    ],
)
def test_a_manifest_of_somebody_else_is_left_alone(tmp_path, text, message):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        Corrections.open(str(tmp_path))
    assert (tmp_path / "manifest.csv").read_text() == text


def test_a_folder_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="--collect: expected a folder of this machine, got gs://bucket/x"):
        Corrections.open("gs://bucket/x")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--collect: cannot write into .*Not a directory"):
        Corrections.open(str(tmp_path / "file" / "in"))


def test_labels_of_one_key_are_one(corrections):
    for index, label in enumerate(("Big Bird", "big  bird", "BIG\u200bBIRD")):
        give(corrections, image(index), label)
    found = [row["label"] for row in rows(corrections)]
    assert len({key_of(label) for label in found}) == len(set(found))
