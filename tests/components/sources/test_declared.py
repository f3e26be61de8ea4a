"""What a row or a record says is an image is never left aside: it is an example, or in the ledger and in the shares."""

import json
import os
import time

import pytest

from components.errors import GateRefused
from components.example_gen.admission import refuse_data
from components.example_gen.history import open_history
from components.example_gen.scan import ScanSettings, scan_data
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import pictures, trees

OPTIONS = DataOptions(max_bad_fraction=1.0)
UNUSABLE = {  # name in a table: the content, and why it is no image
    "nothing": (b"", "empty"),
    "nothing.txt": (b"", "empty"),
    "nothing.jpg": (b"", "empty"),
    "text": (b"good dogs", "not_an_image"),
    "text.txt": (b"good dogs", "not_an_image"),
    "text.jpg": (b"good dogs", "not_an_image"),
    "page.html": (b"<html><body>404</body></html>", "not_an_image"),
    "paper.pdf": (b"%PDF-1.7 ", "undecodable"),
    "numbers.npy": (b"\x93NUMPY\x01\0v\0", "not_an_image"),
    "Thumbs.db": (b"\xd0\xcf\x11\xe0", "not_an_image"),
    ".hidden": (b"hidden", "not_an_image"),
    "cut.png": (pictures.encode(pictures.noise(seed=77))[:-300], "truncated"),
    "tiny": (pictures.encode(pictures.noise(4, 4, seed=78)), "too_small"),
}


def good(count=6):
    return {
        f"{label}-{i}.png": pictures.encode(pictures.noise(seed=100 * k + i))
        for k, label in enumerate("ab")
        for i in range(count)
    }


def manifest(files, container, place, write):
    rows = [(name, name[0] if name[1:2] in ("-", "/") else "a") for name in files]
    return trees.pack(place, container, files | write(rows))


def as_csv(rows):
    return {"manifest.csv": "".join(f"{path},{label}\n" for path, label in [("path", "label"), *rows]).encode()}


def as_other_csv(rows):
    return {"labels.csv": as_csv(rows)["manifest.csv"]}


def in_folders(files):
    return {name.replace("-", "/") if "-" in name else f"a/{name}": content for name, content in files.items()}


def as_lines(rows):
    return {
        "labels.jsonl": "".join(json.dumps({"image": path, "class": label}) + "\n" for path, label in rows).encode()
    }


def as_coco(rows):
    return {
        "coco.json": json.dumps(
            {
                "images": [{"id": i, "file_name": path} for i, (path, _) in enumerate(rows)],
                "annotations": [{"image_id": i, "category_id": label} for i, (_, label) in enumerate(rows)],
                "categories": [{"id": "a", "name": "a"}, {"id": "b", "name": "b"}],
            }
        ).encode()
    }


def as_records(files, container, place):
    frames = [
        trees.frame(trees.record(content, (name[0] if "-" in name else "a").encode()))
        for name, content in files.items()
    ]
    return trees.pack(place, container, {"data.tfrecord": b"".join(frames)})


DECLARED = {
    "CSV": lambda files, place: manifest(files, "folder", place, as_csv),
    "CSV alone": lambda files, place: manifest(files, "folder", place, as_csv) + "/manifest.csv",
    "CSV in a zip": lambda files, place: manifest(files, "zip", place, as_csv),
    "JSON lines": lambda files, place: manifest(files, "folder", place, as_lines),
    "COCO in a tar": lambda files, place: manifest(files, "tar.gz", place, as_coco),
    "class folders and a table": lambda files, place: manifest(in_folders(files), "zip", place, as_other_csv),
    "TFRecords": lambda files, place: as_records(files, "folder", place),
    "TFRecords in a zip": lambda files, place: as_records(files, "zip", place),
}


def scanned(root, options=OPTIONS):
    with open_history("") as memory:
        return scan_data(list_sources(root, options), options, memory, ScanSettings(verify=True))


def account(scan):
    data = scan.dataset
    assert data["found"] == data["train"] + data["eval"] + data["quarantined"] + data["ignored"] == len(scan.rows)
    return data


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("how", DECLARED)
def test_an_unusable_one_is_in_the_ledger_and_in_the_share_of_its_class(tmp_path, how, kind):
    content, reason = UNUSABLE[kind]
    data = account(scan := scanned(DECLARED[how]({**good(), kind: content}, tmp_path)))
    assert data["reasons"] == {reason: 1}
    assert data["bad"] == {"a": 1, "b": 0}
    with pytest.raises(GateRefused, match=r"1 of 13|7\.69"):
        refuse_data(scan, DataOptions())


@pytest.mark.parametrize("how", DECLARED)
def test_half_of_the_rows_may_not_vanish(tmp_path, how):
    files = good() | {f"{label}-{i}.txt": b"text %d" % i for label in "ab" for i in range(6)}
    data = account(scan := scanned(DECLARED[how](files, tmp_path)))
    assert (data["train"] + data["eval"], data["reasons"]) == (12, {"not_an_image": 12})
    with pytest.raises(GateRefused):
        refuse_data(scan, DataOptions())


@pytest.mark.parametrize("container", ["folder", "zip", "tar.gz"])
def test_side_cars_are_found_by_walking_only(tmp_path, container):
    root = trees.pack(tmp_path, container, {**in_folders(good()), "a/notes.txt": b"text", "b/nothing": b""})
    data = account(scanned(root))
    assert (data["ignored_reasons"], data["quarantined"]) == ({"not_an_image": 2}, 0)


@pytest.mark.parametrize("first", ["walked", "declared"])
def test_what_is_remembered_of_a_file_is_the_same_for_a_row(tmp_path, first):
    root = trees.pack(tmp_path, "folder", {**in_folders(good()), "a/text": b"text", "labels.json": b"{}"})
    rows = {path: path[0] for path in [*in_folders(good()), "a/text"]}
    (tmp_path / "data" / "labels.json").write_text(json.dumps(rows))
    for path in (tmp_path / "data").rglob("*"):
        os.utime(path, (time.time() - 3600,) * 2)
    found = {}
    with open_history(str(tmp_path / "memory.sqlite")) as memory:
        for how in ("walked", "declared", "walked") if first == "walked" else ("declared", "walked", "declared"):
            options = OPTIONS.model_copy(update={"layout": "class_folders" if how == "walked" else "manifest"})
            scan = scan_data(list_sources(root, options), options, memory)
            found[how] = next((row.ignored, row.reason) for row in scan.rows if row.name == "a/text")
    assert found == {"walked": ("not_an_image", ""), "declared": ("", "not_an_image")}
    assert scan.read == 0


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("_classes.csv", "filename,a,b\n{rows}a-5.png,1,1\n", "its row gives several classes: a, b"),
        ("_classes.csv", "filename,a,b\n{rows}a-5.png,0,0\n", "its row gives no class"),
    ],
)
def test_a_row_without_a_single_class_is_in_the_ledger(tmp_path, name, text, problem):
    files = good()
    rows = "".join(f"{path},{int(path[0] == 'a')},{int(path[0] == 'b')}\n" for path in files if path != "a-5.png")
    root = trees.pack(tmp_path, "folder", {**files, name: text.format(rows=rows).encode()})
    options = OPTIONS.model_copy(update={"layout": "manifest"})
    data = account(scan := scanned(root, options))
    assert [(row.name, row.detail) for row in scan.rows if row.reason == "unlabelled"] == [("a-5.png", problem)]
    assert data["quarantined"] == 1
    with pytest.raises(GateRefused, match="1 of 12"):
        refuse_data(scan, DataOptions())


def test_a_missing_file_counts_in_the_share_and_all_missing_are_one_fault(tmp_path):
    files = good()
    root = trees.pack(
        tmp_path, "folder", files | as_csv([(name, name[0]) for name in [*files, "a-none.png", "b-no.png"]])
    )
    data = account(scan := scanned(root))
    assert (data["reasons"], data["bad"]) == ({"unreadable": 2}, {"a": 1, "b": 1})
    with pytest.raises(GateRefused):
        refuse_data(scan, DataOptions())
