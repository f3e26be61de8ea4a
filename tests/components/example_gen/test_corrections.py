"""Corrections of a person's: what they change, what stays as it was, and what is refused in words."""

import csv
import io
import json
import tarfile

import pytest

from components.contract.gates import WARN
from components.errors import InputError
from components.example_gen.admission import describe_scan, judge_scan, refuse_data
from components.example_gen.corrections import COLUMNS, correct_rows, protect, unprotect, write_corrections
from components.example_gen.history import open_history
from components.example_gen.manifest import Row
from components.example_gen.scan import keep_places, scan_data
from components.options.data import DataOptions
from components.sources.find import list_sources
from tests import pictures

HOSTILE = ["=1+2.png", "+a.png", "-b.png", "@c.png", "'d.png", "''=e.png", 'f"g,h.png', "i\nj.png", "<img onerror=k>"]


@pytest.fixture
def tree(tmp_path):
    return pictures.write_tree(tmp_path / "data", {"cats": 8, "dogs": 8})


@pytest.fixture
def scan(tmp_path, tree):
    """Scans data with corrections, given as the rows of a CSV file, with the memory of the scans before."""

    def call(*rows, header="path,sha256,suggested,action", path=tree, content=None, **options):
        file = tmp_path / "corrections.csv"
        file.write_bytes(content or "\n".join([header, *rows]).encode())
        given = {"corrections": str(file)} if rows or content else {}
        settings = DataOptions(**given, near_duplicate_distance=None, **options)
        with open_history(str(tmp_path / "data.sqlite")) as memory:
            found = scan_data(list_sources(str(path), settings), settings, memory)
            keep_places(found, settings, memory)
        return found

    return call


def row_of(scan, name):
    return next(row for row in scan.rows if row.name == name)


def sides(scan):
    return {row.sha256: row.split for row in scan.rows if row.is_example}


def test_an_image_gets_another_class_and_keeps_its_side_and_the_label_as_found(scan):
    before = scan()
    after = scan("cats/000.png,,dogs,relabel")
    row = row_of(after, "cats/000.png")
    assert (row.label, row.label_found) == ("dogs", "cats")
    assert json.loads(row.to_json())["label_found"] == "cats"
    assert sides(after) == sides(before)
    assert (after.dataset["corrected"], after.dataset["excluded"]) == (1, 0)
    assert sum(after.dataset["per_class"][side]["dogs"] for side in ("train", "eval")) == 9
    assert "1 labels corrected" in describe_scan(after, 1.0)


def test_an_excluded_image_stands_in_the_ledger_and_stops_no_run(scan, tree):
    (tree / "cats" / "001.png").write_bytes(b"no image")
    found = scan("cats/000.png,,,exclude", "cats/001.png,,,exclude", max_bad_fraction=0.0)
    assert row_of(found, "cats/000.png").detail == "line 2 of corrections.csv"
    assert row_of(found, "cats/001.png").detail.startswith("line 3 of corrections.csv; it was not_an_image (")
    assert (found.dataset["reasons"], found.dataset["bad"]) == ({"excluded": 2}, {"cats": 0, "dogs": 0})
    refuse_data(found, DataOptions(max_bad_fraction=0.0))


def test_a_digest_wins_over_the_path_and_means_every_copy(scan, tree):
    (tree / "cats" / "copy.png").write_bytes((tree / "cats" / "002.png").read_bytes())
    digest = row_of(scan(), "cats/002.png").sha256
    found = scan(f"moved/away.png,{digest.upper()},dogs,Relabel", duplicates="keep")
    assert [row.name for row in found.rows if row.label_found] == ["cats/002.png", "cats/copy.png"]


def test_a_conflict_that_is_corrected_is_none_any_more(scan, tree):
    (tree / "dogs" / "same.png").write_bytes((tree / "cats" / "003.png").read_bytes())
    assert scan().dataset["reasons"] == {"conflicting_label": 2}
    found = scan("dogs/same.png,,cats,relabel")
    assert found.findings.conflicts == []
    assert found.dataset["reasons"] == {"duplicate_of": 1}


def test_another_or_an_edited_file_is_other_data(scan):
    prints = [scan(*rows).dataset["fingerprint"] for rows in ((), ("cats/0.png,,,keep",), ("cats/0.png,,,",))]
    assert len(set(prints)) == 3
    assert scan("cats/0.png,,,keep").dataset["fingerprint"] == prints[1]


def test_rows_that_name_no_image_are_named_as_a_warning(scan):
    found = scan("cats/000.png,,dogs,relabel", "cats/gone.png,,dogs,relabel", "cats/too.png,,,keep")
    checks = [check for check in judge_scan(found, DataOptions()).checks if check.name == "corrections"]
    assert [check.verdict for check in checks] == [WARN]
    assert "1 rows name no image of the data and change nothing: line 3 ('cats/gone.png')" in checks[0].reason


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["cats/0.png,,dogs,relable"], r"line 2 .* has the action 'relable'.* Did you mean 'relabel'"),
        (["cats/000.png,,,keep", "cats/000.png,,,relabel"], "line 3 .* is to relabel, but suggested, .* is empty"),
        (["cats/000.png,,birds,relabel"], "line 2 .* makes an image 'birds', which is none of data.classes"),
        (["cats/000.png,,Dogs,relabel"], "line 2 .* makes an image 'Dogs'"),
        (["cats/000.png,12ab,dogs,relabel"], "line 2 .* has the sha256 '12ab'; expected 64 hex digits"),
        ([",,dogs,relabel"], "line 2 .* names no image"),
        (['"cats/000.png,,dogs,relabel'], "line 2 .* is no CSV"),
        (["cats/000.png,,dogs,relabel,too,many"], "line 2 .* has 6 fields, the header 4"),
        (["cats/nowhere.png,,dogs,relabel"], r"none of the 1 rows .* line 2 \('cats/nowhere.png'\)"),
        (
            ["cats/000.png,,dogs,relabel", "./cats/000.png,,,exclude"],
            "contradict each other about cats/000.png: line 2 makes it 'dogs', line 3 excludes it",
        ),
        ([f"cats/{number:03d}.png,,dogs,relabel" for number in range(8)], "leaves 1 of 2 classes"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(scan, rows, words):
    with pytest.raises(InputError, match=f"(?s)data.corrections: .*{words}"):
        scan(*rows, classes=["cats", "dogs"])


def test_a_class_that_differs_in_case_only_is_taken_for_a_slip(scan):
    with pytest.raises(InputError, match=r"line 2 .* makes an image 'Dogs'; there is the class 'dogs'"):
        scan("cats/000.png,,Dogs,relabel")


@pytest.mark.parametrize(("header", "words"), [("path,label", "'path', 'label'"), ("action", "'action'")])
def test_a_header_without_the_columns_is_refused(scan, header, words):
    with pytest.raises(InputError, match=f"the first line .* has the columns .*{words}"):
        scan("a,b", header=header)


def test_a_file_that_is_not_there_is_refused(tree):
    options = DataOptions(corrections=str(tree / "none.csv"))
    with pytest.raises(InputError, match=r"data.corrections: expected a CSV file, cannot read .*none.csv"):
        correct_rows([], str(tree), {"cats", "dogs"}, options)


def test_a_new_class_is_made_and_an_emptied_one_is_gone(scan, tree):
    pictures.write_tree(tree, {"catz": 2})
    rows = [f"catz/{number:03d}.png,,cats,relabel" for number in range(2)]
    rows += [f"dogs/{number:03d}.png,,puppies,relabel" for number in range(4)]
    found = scan(*rows)
    assert found.dataset["classes"] == ["cats", "dogs", "puppies"]
    notes = [line for line in found.dataset["notes"] if line.startswith("data.corrections")]
    assert notes[0] == "data.corrections: 6 images get another class, 0 are excluded"
    assert [line.partition(" ")[2] for line in notes[1:]] == [
        "makes the new class 'puppies'",
        "leaves no image of the class 'catz'",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_a_spreadsheet_saved_again_reads_the_same(scan, encoding):
    text = "Path;sha256;Suggested;Action\r\ncats/000.png;;dogs;RELABEL\r\n;;;\r\n"
    assert scan(content=text.encode(encoding)).dataset["corrected"] == 1


def test_a_file_among_the_images_labels_none_of_them(tree):
    lines = ["path,label,suggested,action"] + [f"cats/{i:03d}.png,dogs,dogs,relabel" for i in range(2)]
    (tree / "mine.csv").write_text("\n".join(lines))
    options = DataOptions(corrections=str(tree / "mine.csv"))
    with open_history("") as memory:
        found = scan_data(list_sources(str(tree), options), options, memory)
    assert row_of(found, "mine.csv").ignored == "corrections"
    assert found.dataset["layout"] == "class_folders"
    assert found.dataset["corrected"] == 2


def test_images_in_an_archive_are_corrected_too(scan, tree, tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(tree, "data")
    before = scan(path=tmp_path / "data.tar")
    name = next(row.name for row in before.rows if row.label == "cats")
    assert row_of(scan(f"{name},,dogs,relabel", path=tmp_path / "data.tar"), name).label_found == "cats"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_no_formula_and_come_back(name):
    content = write_corrections([{"path": name, "suggested": name, "action": "relabel", "score": "-0.5"}])
    row = next(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert not row["path"].startswith(("=", "+", "-", "@"))
    assert unprotect(row["path"]) == name == unprotect(protect(name))
    assert row["score"] == "-0.5"


def test_what_is_written_is_what_is_read(tmp_path):
    rows = [Row(name, "cats", sha256=f"{number:064x}") for number, name in enumerate(HOSTILE)] + [Row("x", "dogs")]
    given = [{"path": row.name, "label": "cats", "suggested": "=dogs", "action": "relabel"} for row in rows[:-1]]
    file = tmp_path / "c.csv"
    file.write_bytes(write_corrections(given))
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)
    done = correct_rows(rows, "/data", {"cats", "dogs"}, DataOptions(corrections=str(file)))
    assert [row.label for row in rows] == ["=dogs"] * len(HOSTILE) + ["dogs"]
    assert (done.lost, done.classes) == ([], ["=dogs", "dogs"])
