"""The bytes of one source, and what is said where there are none."""

import gzip
import os
import sys
import threading

import pytest

from components.options.data import DataOptions
from components.sources.content import streams
from components.sources.content.readers import STORED, TooLarge
from components.sources.content.streams import Unreadable
from components.sources.find import list_sources
from components.sources.formats.archives import archive_kind, walk_archive
from components.sources.listing import Source
from components.sources.table import read_source
from tests import trees


def source(path, kind="file", **values):
    return Source("x", "cats", str(path), kind, **values)


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x" * 1000)
    assert read_source(source(tmp_path / "a.jpg"), 1000) == b"x" * 1000


def test_a_larger_file_is_not_read(tmp_path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(1 << 40)  # no disk has it
    with pytest.raises(TooLarge, match="1,099,511,627,776 bytes, limit 1,000"):
        read_source(source(tmp_path / "a.jpg"), 1000)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_that_does_not_tell_its_size_is_read_up_to_the_limit():
    assert b"Linux" in read_source(source("/proc/version"), 1000)
    with pytest.raises(TooLarge, match="more than 5 bytes, limit 5"):
        read_source(source("/proc/version"), 5)


def test_what_is_no_file_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("circle", tmp_path / "circle")
    os.symlink("nowhere", tmp_path / "dangling")
    details = {}
    for name in ("pipe", "circle", "dangling", "."):
        with pytest.raises(Unreadable) as caught:
            read_source(source(tmp_path / name), 1000)
        details[name] = str(caught.value)
    assert details == {
        "pipe": "a pipe, a socket or a device",
        "circle": "Too many levels of symbolic links",
        "dangling": "No such file or directory",
        ".": "Is a directory",
    }


def test_a_file_without_permission_is_unreadable(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(streams.os, "open", refuse)
    with pytest.raises(Unreadable, match=r"^Permission denied$"):
        read_source(source(tmp_path / "a.jpg"), 1000)


def test_remote_files_are_read_and_missing_ones_are_unreadable(gs):
    path = f"{gs.root}/a.jpg"
    gs.put({"a.jpg": b"x" * 100})
    assert read_source(source(path), 100) == b"x" * 100
    with pytest.raises(TooLarge, match="100 bytes, limit 99"):
        read_source(source(path), 99)
    with pytest.raises(Unreadable):
        read_source(source(path + "x"), 100)


def test_every_kind_has_a_reader(tmp_path):
    files = {f"{label}/{index}.jpg": f"{label}{index}".encode() for label in ("cats", "dogs") for index in range(3)}
    frames = b"".join(trees.frame(trees.record(content, name[:4].encode())) for name, content in files.items())
    paths = [trees.pack(tmp_path, container, files) for container in ("folder", "zip", "tar")]
    paths.append(trees.pack(tmp_path, "folder", {}) and str(tmp_path / "a.tfrecord"))
    (tmp_path / "a.tfrecord").write_bytes(frames)
    kinds = set()
    for path in paths:
        sources = list_sources(path, DataOptions()).sources
        assert [read_source(one, 1000) for one in sources] == list(files.values())
        kinds |= {one.kind for one in sources}
    assert kinds == {*STORED, "tfrecord"} - {"sparse"}  # see `test_archives.py`


@pytest.mark.parametrize("container", ["zip", "tar", "tar.gz"])
def test_threads_read_one_archive_at_the_same_time(tmp_path, container):
    files = {f"cats/{index:03d}.jpg": os.urandom(2000) for index in range(100)}
    path = trees.pack(tmp_path, container, files)
    sources = walk_archive(path, archive_kind(path)).files
    wrong = []

    def read_all(start):
        order = sources[start:] + sources[:start]
        wrong.extend(one.name for one in order if read_source(one, 10_000) != files[one.name])

    threads = [threading.Thread(target=read_all, args=(start,)) for start in (0, 30, 60, 90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("container", ["zip", "tar.gz"])
def test_an_archive_that_was_replaced_is_opened_anew(tmp_path, container):
    for content in (b"old", b"newer"):
        path = trees.pack(tmp_path / "new", container, {"cats/1.jpg": content})
        os.replace(path, tmp_path / f"a.{container}")
        path = str(tmp_path / f"a.{container}")
        assert read_source(walk_archive(path, archive_kind(path)).files[0], 100) == content


def test_a_damaged_stream_is_unreadable_and_the_next_read_is_right(tmp_path):
    content = gzip.compress(os.urandom(5000))
    (tmp_path / "a.gz").write_bytes(content[:3000])
    place = {"kind": "tfrecord", "size": 100}
    with pytest.raises(Unreadable, match="ended before the end-of-stream marker"):
        read_source(source(tmp_path / "a.gz", position=4000, **place), 1000)
    assert len(read_source(source(tmp_path / "a.gz", position=0, **place), 1000)) == 100


def test_few_streams_are_kept_open(tmp_path):
    before = len(os.listdir("/dev/fd"))
    for index in range(20):
        (tmp_path / str(index)).write_bytes(b"12345")
        assert read_source(source(tmp_path / str(index), "tfrecord", position=1, size=2), 1000) == b"23"
    assert len(os.listdir("/dev/fd")) <= before + streams.OPEN_STREAMS


def test_a_member_that_is_gone_is_unreadable(tmp_path):
    path = trees.pack(tmp_path, "zip", trees.contents("a"))
    with pytest.raises(Unreadable, match="the archive changed"):
        read_source(source(path, "zip", position=7), 1000)
