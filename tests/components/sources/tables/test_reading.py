"""Manifests: what is read, and what is said of a row that is wrong."""

import os

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources.find import list_sources
from components.sources.listing import IGNORED
from components.sources.table import read_source
from components.sources.tables.rows import parse_table
from tests import trees

ROWS = "path,label\na.jpg,cats\nb.jpg,dogs\n"


def parse(text, name="m.csv"):
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return [tuple(row)[:5] for row in parse_table(content, name, DataOptions())[0]]


def listed(path):
    return list_sources(str(path), DataOptions())


def rows_of(listing):
    return [(source.name, source.label, source.split, source.group) for source in listing.sources]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "path,label,split,group\nx/a 1.jpg,cats,train,7\n"),
        ("m.csv", b"\xef\xbb\xbfpath,label,split,group\r\nx/a 1.jpg,cats,Training,7\r\n"),
        ("m.csv", "path;label;split;group\nx/a 1.jpg;cats;train;7\n"),
        ("m.csv", "path\tlabel\tsplit\tgroup\nx/a 1.jpg\tcats\ttrain\t7"),
        ("m.tsv", "path\tlabel\tsplit\tgroup\nx/a 1.jpg\tcats\ttrain\t7\n\n"),
        ("m.CSV", ' Group ,LABEL,score,Split,Path\n7, cats ,"0,5",TRAIN,x/a 1.jpg\n'),
        ("m.csv", 'path,label,split,group\n"x/a 1.jpg","cats",train,"7"\n'),
        ("m.jsonl", '{"path": "x/a 1.jpg", "label": "cats", "split": "train", "group": 7, "more": [1]}\n\n'),
        ("m.jsonl", b'\xef\xbb\xbf{"label": "cats", "path": "x/a 1.jpg", "split": "train", "group": "7"}'),
    ],
)
def test_a_row_is_the_same_however_it_is_written(name, text):
    (row,) = parse(text, name)
    assert row[1:] == ("x/a 1.jpg", "cats", "train", "7")


def test_split_and_group_may_be_absent_and_labels_may_be_numbers():
    assert parse("path,label\na.jpg,3\n") == [(2, "a.jpg", "3", "", "")]
    assert parse('{"path": "a.jpg", "label": 3, "split": null}', "m.jsonl") == [(1, "a.jpg", "3", "", "")]


def test_odd_paths_are_kept():
    assert parse('path,label\n"a, ""b"".jpg",c\n  x.jpg,c\n"two\nlines",c')[0][1] == 'a, "b".jpg'
    assert [row[0] for row in parse('path,label\n"two\nlines",c\nb,c')] == [3, 4]
    assert parse(b"path,label\ncaf\xe9.jpg,c\n")[0][1] == os.fsdecode(b"caf\xe9.jpg")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", "expected a column of paths, such as path, in m.csv, found the columns: nothing"),
        (
            "m.csv",
            "a,cats\n",
            "expected a column of paths, .* found the columns: a, cats.\nName it with data.path_column",
        ),
        (
            "m.csv",
            "a,b,c\nx.jpg,1,y\n",
            "expected a column of classes, .* columns: a, b, c.\nName it with data.label_c",
        ),
        (
            "m.csv",
            "path,species,breed\na,cat,tabby\n",
            "expected one column of classes, not breed and species in m.csv",
        ),
        (
            "m.csv",
            "a.jpg,cats,640\nb.jpg,dogs,480\n",
            "expected a path and a class in each line of m.csv, .* no header",
        ),
        ("m.json", "{}", "m.json is no table of images: found neither COCO's images, .* nor Label Studio's tasks nor"),
        ("m.json", "[1, 2", "m.json is no table of images: it is no JSON"),
        ("m.csv", "path,label,path\n", "line 1 of m.csv names the column 'path' twice"),
        ("m.csv", "path,label\na.jpg,cats\n,dogs\n", "line 3 of m.csv has no path"),
        ("m.csv", "path,label\na.jpg, \n", "line 2 of m.csv has no label"),
        ("m.csv", "path,label\na.jpg\n", "line 2 of m.csv has no label"),
        ("m.csv", "path,label\na,b.jpg,cats\n", "line 2 of m.csv has 3 fields, the header 2.\nPut a path with a comma"),
        ("m.csv", 'path,label\n"a"b,c\n', "line 2 of m.csv is no CSV"),
        ("m.csv", "path,label,split\na,c,trian\n", "unknown split 'trian'.\nExpected one of train, .* mean 'train'?"),
        ("m.csv", "path,label,split\na,c,train\nb,c,\n", "line 3 of m.csv has no split, the rows before it one"),
        ("m.csv", "path,label,split\na,c,\nb,c,val\n", "line 3 of m.csv has a split, the rows before it none"),
        ("m.csv", "path,label\n".encode("utf-16-le"), r"m.csv is not UTF-8 text \(it has zero bytes\)"),
        ("m.jsonl", '{"path": "a", "label": "c"}\n{"path": "b"}', "line 2 of m.jsonl has no label"),
        ("m.jsonl", "{path: 1}", "line 1 of m.jsonl is no JSON: .*\nExpected {"),
        ("m.jsonl", '["a", "c"]', "line 1 of m.jsonl is no JSON object"),
        ("m.jsonl", '{"path": ["a"], "label": "c"}', "line 1 of m.jsonl has a path that is no text: ..a.."),
        ("m.jsonl", '{"path": "a", "label": true}', "has a label that is no text: True"),
        ("m.jsonl", '{"path": "a\\u0000", "label": "c"}', "has a path that is no valid text"),
        ("m.jsonl", '{"path": "\\ud800", "label": "c"}', "has a path that is no valid text"),
        ("m.jsonl", "[" * 100_000, "line 1 of m.jsonl is no JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(name, text, message):
    with pytest.raises(InputError, match=message):
        parse(text, name)


def test_a_manifest_in_a_folder(tmp_path):
    table = "path,label,split,group\nx/a.jpg,cats,train,1\nb.jpg,dogs,val,\n.hidden/c.jpg,dogs,train,2\n"
    root = trees.pack(tmp_path, "folder", trees.contents("x/a.jpg", "b.jpg", ".hidden/c.jpg", "other.jpg", ".no"))
    (tmp_path / "data" / "manifest.csv").write_text(table)
    listing = listed(root)
    assert rows_of(listing) == [
        (".hidden/c.jpg", "dogs", "train", "2"),
        ("b.jpg", "dogs", "eval", ""),
        ("x/a.jpg", "cats", "train", "1"),
    ]
    assert listing.ignored == [(".no", "hidden"), ("manifest.csv", "manifest"), ("other.jpg", "not_in_manifest")]
    assert {why for _, why in listing.ignored} <= IGNORED.keys()
    assert (listing.layout, listing.container) == ("manifest", "folder")
    assert all(source.mtime_ns and source.size for source in listing.sources)


def test_a_manifest_alone_names_files_anywhere(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("a.jpg", "sub/b.jpg", "c.jpg"))
    table = f"path,label\n../data/a.jpg,cats\n{root}/c.jpg,dogs\n./b.jpg,cats\n"
    (tmp_path / "data" / "sub" / "labels.csv").write_text(table)
    listing = listed(tmp_path / "data" / "sub" / "labels.csv")
    assert [source.problem for source in listing.sources] == ["no such file", "", ""]
    assert [read_source(source, 100) for source in listing.sources[1:]] == [b"c.jpg", b"sub/b.jpg"]
    assert (listing.layout, listing.container, listing.ignored) == ("manifest", "manifest", [])


def test_rows_that_name_no_file_have_a_problem(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("a.jpg", "d/x"))
    os.mkfifo(f"{root}/pipe.jpg")
    (tmp_path / "data" / "manifest.csv").write_text("path,label\na.jpg,cats\nnone.jpg,dogs\nd,dogs\npipe.jpg,dogs\n")
    listing = listed(root)
    assert {source.name: source.problem for source in listing.sources} == {
        "a.jpg": "",
        "none.jpg": "no such file",
        "d": "a folder",
        "pipe.jpg": "a pipe, a socket or a device",
    }
    assert "pipe.jpg" not in dict(listing.ignored)


def test_a_path_named_twice_is_two_sources(tmp_path):
    root = trees.pack(tmp_path, "folder", trees.contents("a.jpg"))
    (tmp_path / "data" / "manifest.csv").write_text(f"path,label\na.jpg,cats\n./a.jpg,dogs\n{root}/a.jpg,dogs\n")
    listing = listed(root)
    assert [(source.name, source.label) for source in listing.sources] == [
        ("a.jpg", "cats"),
        ("a.jpg#2", "dogs"),
        ("a.jpg#3", "dogs"),
    ]
    assert len({source.path for source in listing.sources}) == 1


@pytest.mark.parametrize("words", [("train", "test"), ("train", "val", "test")])
def test_test_rows_are_eval_only_without_validation_rows(tmp_path, words):
    table = "path,label,split\n" + "".join(f"{word}{label}.jpg,{label},{word}\n" for word in words for label in "ab")
    (tmp_path / "m.csv").write_text(table)
    (tmp_path / "traina.jpg").touch()
    listing = listed(tmp_path / "m.csv")
    assert {source.split for source in listing.sources} == {"train", "eval"}
    expected = [("testa.jpg", "test_folder"), ("testb.jpg", "test_folder")] if "val" in words else []
    assert listing.ignored == expected


@pytest.mark.parametrize("container", ["zip", "tar.gz"])
def test_in_an_archive_paths_stay_in_it(tmp_path, container):
    table = b"path,label\nimages/a.jpg,cats\n../w/b.jpg,dogs\n../../etc/passwd,dogs\nnone.jpg,cats\n"
    files = {"w/manifest.csv": table, "w/images/a.jpg": b"A", "w/b.jpg": b"B"}
    listing = listed(trees.pack(tmp_path, container, files))
    assert {source.name: source.problem for source in listing.sources} == {
        "../etc/passwd": "its path leaves the archive",
        "w/b.jpg": "",
        "w/images/a.jpg": "",
        "w/none.jpg": "no such file",
    }
    assert [read_source(source, 10) for source in listing.sources if not source.problem] == [b"B", b"A"]


def test_in_an_archive_no_path_is_absolute(tmp_path):
    path = trees.pack(tmp_path, "zip", {"manifest.csv": b"path,label\n/a.jpg,cats\n"})
    with pytest.raises(
        InputError, match=r"none of the 1 rows of manifest.csv in .*data.zip names .* leaves the archive"
    ):
        listed(path)


def test_a_manifest_in_a_remote_folder(gs):
    root = f"{gs.root}/data"
    table = f"path,label\nx/a.jpg,cats\n{root}/x/b.jpg,dogs\nnone.jpg,dogs\n".encode()
    gs.put({"data/manifest.csv": table, "data/x/a.jpg": b"A", "data/x/b.jpg": b"B"})
    for path in (root, f"{root}/manifest.csv"):
        listing = listed(path)
        found = {source.name: source.problem or read_source(source, 10) for source in listing.sources}
        assert found == {"x/a.jpg": b"A", f"{root}/x/b.jpg": b"B", "none.jpg": "no such file"}


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path):
    os.symlink("nowhere", tmp_path / "manifest.csv")
    with pytest.raises(InputError, match=r"cannot read the manifest .*manifest.csv: No such file or directory"):
        listed(tmp_path)
