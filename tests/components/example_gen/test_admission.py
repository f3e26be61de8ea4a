"""When the data is refused, and in which words."""

import json

import pytest

from components.errors import GateRefused, InputError
from components.example_gen.admission import describe_scan, refuse_data, write_ledger
from components.example_gen.comparison import Findings
from components.example_gen.history import ClassMap, open_history
from components.example_gen.manifest import Row, summarise_rows
from components.example_gen.scan import Scan, scan_data
from components.options.data import DataOptions
from components.sources.find import list_sources
from components.sources.listing import Listing, Source
from tests import pictures

CLASSES = ["cats", "dogs"]


def rows_of(*sides, bad=0):
    rows = [Row(f"dogs/{i}", "dogs", side) for i, side in enumerate(("train", "eval"))]
    rows += [Row(f"cats/{i}", "cats", side) for i, side in enumerate(sides)]
    return rows + [Row(f"cats/bad{i}.jpg", "cats", reason="empty", detail="0 bytes") for i in range(bad)]


def scan_of(rows, read=None, **findings):
    listing = Listing("/data", "class_folders", [Source(row.name, row.label, row.name) for row in rows])
    found = Findings(**findings)
    facts = {"layout": "class_folders", "container": "folder", "fingerprint": "f" * 64}
    dataset = summarise_rows(rows, CLASSES) | found.counts | facts
    return Scan(listing, rows, found, ClassMap(CLASSES), dataset, len(rows) if read is None else read)


def refuse(rows, limit=1.0):
    refuse_data(scan_of(rows), DataOptions(max_bad_fraction=limit))


def test_a_class_without_usable_images_is_refused_with_the_first_files_and_reasons():
    with pytest.raises(InputError, match=r"class 'cats' has no usable image \(7 were rejected\)") as caught:
        refuse(rows_of(bad=7), limit=0.0)
    lines = str(caught.value).splitlines()
    assert lines[1:6] == [f"  cats/bad{i}.jpg: empty (0 bytes)" for i in range(5)]
    assert lines[6:] == ["Replace the files, or remove that class."]


@pytest.mark.parametrize(("sides", "empty", "other"), [(["eval"], "train", "eval"), (["train"] * 3, "eval", "train")])
def test_a_class_on_one_side_only_is_refused(sides, empty, other):
    with pytest.raises(InputError) as caught:
        refuse(rows_of(*sides, bad=1))
    expected = f"class 'cats' has no image on the {empty} side ({len(sides)} on the {other} side, 1 rejected).\n"
    assert expected + "  cats/bad0.jpg: empty (0 bytes)\nAdd images to that class" in str(caught.value)


def test_a_class_that_the_draw_leaves_on_one_side_is_refused_with_the_reason_and_the_others():
    scan = scan_of([*rows_of("train", "train"), Row("dogs/x", "dogs", "train")])
    scan.dataset["per_class"]["eval"]["dogs"] = 0
    scan.dataset["odd_shares"] = [{"class": "cats", "share": 0.0, "limit": 0.1, "reason": "class 'cats': 0 % of 2"}]
    with pytest.raises(InputError) as caught:
        refuse_data(scan, DataOptions())
    assert str(caught.value).splitlines() == [
        "data.path: class 'cats' has no image on the eval side (2 on the train side, 0 rejected).",
        "class 'cats': 0 % of 2.",
        "Add images to that class, or remove it.",
        "The same goes for 'dogs'.",
    ]


def test_too_many_bad_images_are_refused_by_the_gate():
    with pytest.raises(GateRefused) as caught:
        refuse(rows_of(*["train", "eval"] * 49, bad=2), limit=0.01)
    assert caught.value.gate == "data"
    text = "\n".join(caught.value.reasons)
    assert "data.max_bad_fraction" in text
    assert "cats/bad1.jpg: empty (0 bytes)" in text


def test_an_override_of_the_data_gate_lets_bad_images_pass_but_no_empty_class():
    scan = scan_of(rows_of(*["train", "eval"] * 49, bad=2))
    refuse_data(scan, DataOptions(max_bad_fraction=0.01), overridden=True)
    with pytest.raises(InputError, match="class 'cats' has no usable image"):
        refuse_data(scan_of(rows_of(bad=7)), DataOptions(max_bad_fraction=0.01), overridden=True)


def test_a_class_of_its_own_may_be_too_bad():
    rows = rows_of("train", "eval", bad=1) + [Row(f"dogs/x{i}", "dogs", "train") for i in range(200)]
    with pytest.raises(GateRefused) as caught:
        refuse(rows, limit=0.01)
    assert any("cats" in reason for reason in caught.value.reasons)


def test_bad_images_below_the_limit_are_no_reason_to_stop():
    refuse(rows_of(*["train", "eval"] * 100, bad=2), limit=0.01)


def test_copies_that_were_left_out_are_no_loss():
    rows = rows_of("train", "eval") + [Row(f"cats/c{i}", "cats", reason="duplicate_of") for i in range(50)]
    refuse(rows, limit=0.0)


def test_the_ledger_holds_the_rejected_files_and_no_others(tmp_path):
    write_ledger(tmp_path / "q.jsonl", scan_of(rows_of("train", "eval", bad=1)))
    assert [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()] == [
        {"name": "cats/bad0.jpg", "label": "cats", "reason": "empty", "detail": "0 bytes"}
    ]
    write_ledger(tmp_path / "q.jsonl", scan_of(rows_of("train", "eval")))
    assert (tmp_path / "q.jsonl").read_text() == ""


def test_the_closing_line_counts_and_names_the_reasons():
    line = describe_scan(scan_of(rows_of("train", "eval", bad=1234), leakage=[["a", "b"]]), 2.0)
    assert line == (
        "1,238 files (class folders): 2 classes, 2 train + 2 eval images, 619 files/s; 1,234 quarantined: 1,234 empty; "
        "1 leak between train and eval"
    )


def test_the_closing_line_says_how_many_files_were_new():
    assert describe_scan(scan_of(rows_of("train", "eval"), read=1), 1.0).startswith("4 files, 1 of them new (class")


def test_black_images_are_refused_like_bad_ones_and_plain_colours_are_not():
    def rows(brightness):
        values = {"flags": ("flat",), "brightness": brightness}
        return rows_of(*["train", "eval"] * 40) + [Row(f"cats/x{i}", "cats", "train", **values) for i in range(8)]

    refuse(rows(76.0))
    assert "; 8 of one colour" in describe_scan(scan_of(rows(76.0)), 1.0)
    for brightness in (0.0, 255.0):
        with pytest.raises(GateRefused) as caught:
            refuse(rows(brightness))
        assert caught.value.reasons[0].startswith("class 'cats': 8 of 88 images are black or white all over (9.0909 %)")
        assert "cats/x0" in caught.value.reasons
        refuse_data(scan_of(rows(brightness)), DataOptions(max_flat_fraction=0.1))
        refuse_data(scan_of(rows(brightness)), DataOptions(), overridden=True)


def test_a_class_whose_files_are_no_images_is_refused_with_their_suffixes(tmp_path):
    for label in ("cats", "dogs"):
        for index in range(3):
            pictures.write(tmp_path / label / f"{index}.xyz", b"something")
        pictures.write(tmp_path / label / "notes", b"something")
    with open_history("") as memory:
        scan = scan_data(list_sources(str(tmp_path), DataOptions()), DataOptions(), memory)
    with pytest.raises(InputError, match=r"class 'cats' has no usable image \(0 were rejected\)") as caught:
        refuse_data(scan, DataOptions())
    assert "left aside, since neither name nor content is an image's: 3 .xyz, 1 without a suffix" in str(caught.value)


def test_a_folder_of_raw_files_is_refused_with_what_they_are(tmp_path):
    for label in ("cats", "dogs"):
        pictures.write(tmp_path / label / "1.CR2", b"II*\0\x10\0\0\0CR\2\0")
        pictures.write(tmp_path / label / "2.nef", pictures.encode(pictures.noise(), "tiff"))
    with open_history("") as memory:
        scan = scan_data(list_sources(str(tmp_path), DataOptions()), DataOptions(), memory)
    with pytest.raises(InputError, match=r"class 'cats' has no usable image \(2 were rejected\)") as caught:
        refuse_data(scan, DataOptions())
    assert "cats/1.CR2: undecodable (Canon raw: what the sensor saw" in str(caught.value)
    assert "cats/2.nef: undecodable (Nikon raw: what the sensor saw" in str(caught.value)
