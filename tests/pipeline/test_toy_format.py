"""A row of `INGEST_FORMATS` is all that a format takes: a toy goes through every stage that reads data."""

import json

import pytest

from components.errors import InputError
from components.options.data import DataOptions
from components.sources import table
from components.sources.content.streams import member_path, open_binary
from components.sources.find import list_sources
from components.sources.listing import FileFormat, IngestFormat, Listing, Source
from pipeline.config.configuration import load_config
from tests import pictures, trees
from tests.components.example_gen.test_ingest import execute, read_records, read_rows, value
from tests.conftest import CLASSES, picture_of
from tests.pipeline.predict.test_command import graft

START = b'{"toy": '


def toy_file(label: str, content: bytes) -> bytes:
    """A line of JSON with label and length, then an image."""
    return START + json.dumps([label, len(content)]).encode() + b"}\n" + content


def list_toys(tree, *_):
    """The image in each file; the class is in its first line."""
    toys = [file for file in tree.files if file.name in tree.records or file.path == tree.root]
    listing = Listing(tree.root, "toy", [], tree.ignored, container=tree.container)
    for file in toys:
        path = member_path(file)
        with open_binary(path) as stream:
            label, length = json.loads(stream.readline())["toy"]
        listing.sources.append(Source(file.name, label, path, "toy", size=length, declared=True))
    return listing if toys else None


def read_toy(source, max_bytes):
    """What follows the first line."""
    with open_binary(source.path) as stream:
        stream.readline()
        return stream.read(min(source.size, max_bytes + 1))


TOY = IngestFormat(
    "toy",
    "1.toy, with its class in the first line",
    list_toys,
    lambda tree, shape: tree.holds == "toy",
    lambda tree, options: listing.sources if (listing := list_toys(tree)) else None,
    FileFormat("toy file", "toys (.toy)", lambda name: name.endswith(".toy"), lambda block: block.startswith(START)),
    {"toy": read_toy},
)
CONTENTS = {f"{number}.toy": (CLASSES[number % 3], picture_of(number % 3, number)) for number in range(24)}


@pytest.fixture(autouse=True)
def row(monkeypatch):
    monkeypatch.setitem(table.INGEST_FORMATS, "toy", TOY)


@pytest.fixture(params=["folder", "zip"])
def data(request, tmp_path):
    return trees.pack(tmp_path, request.param, {name: toy_file(*content) for name, content in CONTENTS.items()})


def test_it_is_checked(data):
    done = graft("check", data, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], found["layout"]) == (0, "accepted", "toy")
    assert {label: sum(side[label] for side in found["examples"].values()) for label in CLASSES} == dict.fromkeys(
        CLASSES, 8
    )


def test_its_records_are_written_from_its_sources(data, tmp_path):
    _, dataset = execute(data, tmp_path, layout="toy")
    assert (dataset["layout"], dataset["train"] + dataset["eval"]) == ("toy", 24)
    examples = [example for side in ("train", "eval") for example in read_records(tmp_path / f"examples/Split-{side}")]
    found = {value(example, "image/filename").decode(): example for example in examples}
    for row in read_rows(tmp_path):
        label, content = CONTENTS[row.name]
        assert value(found[row.name], "image/class/text").decode() == label
        assert value(found[row.name], "image/encoded") == content


def test_it_is_answered(pushed, data, tmp_path):
    alone = pictures.write(tmp_path / "alone" / "x.toy", toy_file("", picture_of(0, 1)))
    done = graft("predict", pushed, data, alone, "--beam", "--output", tmp_path / "out", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for shard in (tmp_path / "out").iterdir() for line in shard.read_text().splitlines()]
    assert len(rows) == 25
    assert all(row["label"] in CLASSES for row in rows)
    assert str(alone) in {row["path"] for row in rows} | {row["path"].rpartition("/")[0] for row in rows}


def test_it_may_be_asked_for_and_is_offered(tmp_path):
    assert load_config(None, ["data.layout=toy"]).data.layout == "toy"
    with pytest.raises(InputError, match=r"data.layout: Input should be 'auto', .*, 'webdataset' or 'toy'; got 'joy'"):
        load_config(None, ["data.layout=joy"])
    root = trees.pack(tmp_path, "folder", trees.contents("cats/1.jpg", "dogs/1.jpg"))
    with pytest.raises(InputError, match=r"data.layout: toy expects 1.toy, .*\n.*webdataset, toy\."):
        list_sources(root, DataOptions(layout="toy"))
    text = pictures.write(tmp_path / "words.txt", b"words")
    with pytest.raises(InputError, match=r"TFRecords \(.tfrecord\) or toys \(.toy\), or is damaged"):
        list_sources(str(text), DataOptions())


def test_one_file_is_a_data_path_of_its_own(tmp_path):
    path = pictures.write(tmp_path / "x.bin", toy_file("cats", picture_of(0, 1)))
    with pytest.raises(InputError, match=r"needs at least two classes, found one in .*x.bin: 'cats' with 1 files"):
        list_sources(str(path), DataOptions())
