"""Archives and TFRecords in folders and archives: told by content, read in place, or named."""

import bz2
import contextlib
import gzip
import io
import itertools
import lzma
import os
import random
import tarfile
import zipfile
import zlib

import pytest

from components.errors import InputError
from components.example_gen.records import reads_in_sequence
from components.options.data import DataOptions
from components.sources import nested
from components.sources.content import streams
from components.sources.content.streams import Unreadable
from components.sources.find import list_images, list_sources
from components.sources.listing import IGNORED
from components.sources.table import read_source
from tests import trees

LIMIT = 1 << 20
FLAT = {"cats": trees.contents("1.jpg", "2.jpg"), "dogs": trees.contents("3.jpg")}
FRAMES = b"".join(trees.frame(trees.record(f"{name}'s image".encode(), name.encode())) for name in ("cats", "dogs"))
PACK = {"": bytes, "gzip": gzip.compress, "zlib": zlib.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def listed(path, **options):
    return list_sources(str(path), DataOptions(**options))


def archive(container, files, stored=False):
    """The bytes of an archive."""
    buffer = io.BytesIO()
    if container == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(fileobj=buffer, mode=f"w:{container.partition('.')[2]}") as packed:
            for name, content in files.items():
                packed.addfile(*trees.tar_member(name, content))
    return buffer.getvalue()


def contents(listing):
    return {(source.label, read_source(source, LIMIT)) for source in listing.sources}


EXPECTED = {("cats", b"1.jpg"), ("cats", b"2.jpg"), ("dogs", b"3.jpg")}


@pytest.mark.parametrize("outer", [*trees.CONTAINERS, "stored zip"])
@pytest.mark.parametrize("inner", trees.CONTAINERS[1:])
def test_an_archive_is_read_as_a_folder_of_its_name(tmp_path, outer, inner):
    files = {f"photos/{name}.{inner}": archive(inner, members) for name, members in FLAT.items()}
    files |= {"photos/readme.txt": b"hello", "__MACOSX/photos/._cats.zip": b"x"}
    if outer == "stored zip":
        path = tmp_path / "data.zip"
        path.write_bytes(archive("zip", files, stored=True))
    else:
        path = trees.pack(tmp_path, outer, files)
    before = sorted(os.listdir(tmp_path))
    listing = listed(path)
    assert contents(listing) == EXPECTED
    assert listing.layout == "class_folders"
    assert listing.container.endswith(" of archives")
    assert {why for _, why in listing.ignored} == {"outside_classes", "system"}
    assert sorted(os.listdir(tmp_path)) == before
    assert all(source.mtime_ns and source.inode for source in listing.sources)
    found = list_images(str(path), DataOptions())
    assert {source.name for source in found} == {source.name for source in listing.sources} | {"photos/readme.txt"}
    assert reads_in_sequence(listing) == (inner != "zip" or outer != "folder")


@pytest.mark.parametrize("outer", ["folder", "zip", "tar"])
def test_archives_of_splits_and_classes(tmp_path, outer):
    sides = {side: trees.contents(f"{side}/cats/1.jpg", f"{side}/dogs/2.jpg") for side in ("train", "val")}
    files = {f"{side}.zip": archive("zip", members) for side, members in sides.items()} | {"sample.csv": b"a,b\n"}
    listing = listed(trees.pack(tmp_path, outer, files))
    assert listing.layout == "split_folders"
    assert [(source.name, source.label, source.split) for source in listing.sources] == [
        ("train/cats/1.jpg", "cats", "train"),
        ("train/dogs/2.jpg", "dogs", "train"),
        ("val/cats/1.jpg", "cats", "eval"),
        ("val/dogs/2.jpg", "dogs", "eval"),
    ]


def test_a_whole_in_numbered_parts_is_one(tmp_path):
    parts = [trees.contents("photos/cats/1.jpg", "photos/dogs/2.jpg"), trees.contents("photos/cats/3.jpg")]
    files = {f"photos-2024-00{index}.zip": archive("zip", part) for index, part in enumerate(parts, 1)}
    listing = listed(trees.pack(tmp_path, "folder", files))
    assert [source.label for source in listing.sources] == ["cats", "cats", "dogs"]


def test_classes_may_be_numbered(tmp_path):
    files = {f"n0144076{index}.tar": archive("tar", trees.contents(f"{index}.jpg")) for index in range(3)}
    assert listed(trees.pack(tmp_path, "tar", files)).labels == ["n01440760", "n01440761", "n01440762"]


@pytest.mark.parametrize("name", ["shard-00000{}", "0000{}", "x/images_00{}", "part 001{}"])
@pytest.mark.parametrize("inner", ["{}.jpg", "images/{}.jpg"])
def test_numbered_archives_without_classes_are_asked_for(tmp_path, name, inner):
    files = {f"{name.format(n)}.tar": archive("tar", trees.contents(inner.format(n), f"{n}.txt")) for n in range(3)}
    path = trees.pack(tmp_path, "folder", files)
    with pytest.raises(InputError, match=r"3 archives in .* are numbered, and in none are folders of classes: .*0.tar"):
        listed(path)
    assert len(listed(path, layout="nested_folders").labels) == 3


@pytest.mark.parametrize("outer", ["folder", "zip", "tar"])
def test_beside_images_an_archive_is_left_aside_and_named(tmp_path, outer):
    files = trees.contents("cats/1.jpg", "dogs/2.jpg") | {
        "photos.zip": archive("zip", FLAT["cats"]),
        "a.rar": b"Rar!\x1a\x07",
    }
    listing = listed(trees.pack(tmp_path, outer, files))
    assert listing.labels == ["cats", "dogs"]
    assert listing.ignored == [("a.rar", "archive"), ("photos.zip", "archive")]
    assert {"archive", "records"} <= IGNORED.keys()
    assert listing.notes[-1].startswith("left aside: a.rar and 1 more, an archive beside images or records: give it")


def test_what_only_has_an_archives_name_stays(tmp_path):
    files = trees.contents("cats/1.jpg", "cats/2.zip", "dogs/3.jpg")
    assert [source.name for source in listed(trees.pack(tmp_path, "folder", files)).sources] == sorted(files)


def test_a_refusal_names_the_archive_that_was_left_aside(tmp_path):
    files = trees.contents("cats/1.jpg") | {"dogs.zip": archive("zip", FLAT["dogs"])}
    with pytest.raises(InputError, match=r"at least two classes.*; left aside: dogs.zip, an archive beside images"):
        listed(trees.pack(tmp_path, "folder", files))


@pytest.mark.parametrize("magic", [*nested.PACKED, *nested.TABLE_FILES])
@pytest.mark.parametrize("place", ["path", "folder", "zip"])
def test_what_nothing_here_reads_is_named_with_the_way_out(tmp_path, magic, place):
    content = magic + bytes(600)
    if place == "path":
        path = tmp_path / "data"
        path.write_bytes(content)
    else:
        path = trees.pack(tmp_path, place, {"photos/cats.bin": content, "readme.txt": b"hello"})
    with pytest.raises(InputError) as caught:
        listed(path)
    assert f"is {(nested.PACKED | nested.TABLE_FILES)[magic]}, which cannot be read here.\n" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "folder" in str(caught.value).splitlines()[1]


def test_an_archive_that_cannot_be_read_among_others_stops(tmp_path):
    for bad, message in (
        (b"Rar!\x1a\x07", "dogs.x in .* is a RAR archive"),
        (b"PK\x03\x04junk", "dogs.x in .* is a damaged zip"),
    ):
        files = {"cats.zip": archive("zip", FLAT["cats"]), "dogs.x": bad}
        with pytest.raises(InputError, match=message) as caught:
            listed(trees.pack(tmp_path, "folder", files))
        assert "\0" not in str(caught.value)


@pytest.mark.parametrize("name", ["dogs.zip", "dogs.TAR", "dogs.tar.gz", "dogs.7z"])
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>" * 100])
def test_what_is_called_an_archive_but_is_none_stops(tmp_path, name, content):
    files = {"cats.zip": archive("zip", FLAT["cats"]), "birds.zip": archive("zip", FLAT["dogs"]), name: content}
    with pytest.raises(InputError, match=rf"{name} in .* is called an archive, but is none \({len(content):,} bytes\)"):
        listed(trees.pack(tmp_path, "folder", files))


def test_archives_too_deep_in_others_are_refused(tmp_path):
    content = archive("zip", trees.contents("cats/1.jpg", "dogs/2.jpg"))
    for depth in range(4):
        (tmp_path / "a.zip").write_bytes(content)
        if depth <= nested.MOST_DEPTH:
            assert {source.name.rpartition("/")[2] for source in listed(tmp_path / "a.zip").sources} == {
                "1.jpg",
                "2.jpg",
            }
        content = archive("zip", {"inner.zip": content})
    with pytest.raises(InputError, match=r"is an archive too deep in others.\nUnpack it"):
        listed(tmp_path / "a.zip")


def test_archives_inside_others_cannot_hold_files_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(nested, "MOST_FILES", 2)
    with pytest.raises(InputError, match=r"dogs.zip in .*data.zip and others hold over 2 files"):
        listed(trees.pack(tmp_path, "zip", {f"{name}.zip": archive("zip", files) for name, files in FLAT.items()}))


def test_a_huge_list_of_members_in_a_packed_archive_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LARGEST_DIRECTORY", 10_000)
    many = archive("zip", dict.fromkeys((f"cats/{index}.jpg" for index in range(1000)), b""))
    with pytest.raises(
        InputError, match=r"many.zip in .* is a damaged zip archive: a header of more than 10,000 bytes"
    ):
        listed(trees.pack(tmp_path, "zip", {"many.zip": many}))


@pytest.mark.parametrize("outer", ["zip", "tar", "tar.gz"])
def test_a_bomb_in_an_archive_in_another_is_not_read(tmp_path, outer):
    inner = archive("zip", {"cats/bomb.jpg": bytes(30 << 20), "dogs/1.jpg": b"good"})
    bomb, good = listed(trees.pack(tmp_path, outer, {"a.zip": inner})).sources
    with pytest.raises(Unreadable, match="31,457,280 bytes, limit 1,048,576"):
        read_source(bomb, LIMIT)
    assert read_source(good, LIMIT) == b"good"


@pytest.mark.parametrize("inner", ["zip", "tar"])
def test_threads_read_packed_archives_inside_others(tmp_path, inner):
    from concurrent.futures import ThreadPoolExecutor

    files = {f"{label}/{index:02d}.jpg": os.urandom(3000) for label in ("cats", "dogs") for index in range(40)}
    listing = listed(trees.pack(tmp_path, "zip", {f"a.{inner}": archive(inner, files)}))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda source: read_source(source, LIMIT), listing.sources))
    assert dict(zip((source.name.removeprefix("a/") for source in listing.sources), read, strict=True)) == files


def test_a_remote_folder_of_archives(gs):
    gs.put({f"flowers/{name}.zip": archive("zip", files) for name, files in FLAT.items()})
    assert contents(listed(f"{gs.root}/flowers")) == EXPECTED


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("suffix", [".tfrecord", ".tfrec", ".record", ".tfr", ".gz", ".bin", "", "-00000-of-00001"])
@pytest.mark.parametrize("place", ["path", "folder", "zip", "tar", "archives"])
def test_records_are_told_by_content_whatever_their_suffix(tmp_path, packing, suffix, place):
    content = PACK[packing](FRAMES)
    if place == "path":
        path = tmp_path / f"flowers{suffix}"
        path.write_bytes(content)
    else:
        files = {f"flowers/{side}07-100{suffix}": content for side in ("train", "val")}
        if place == "archives":
            files = {"flowers.zip": archive("zip", files)}
        path = trees.pack(tmp_path, "folder" if place == "archives" else place, files)
    listing = listed(path)
    assert listing.layout == "tfrecord"
    sides = [""] if place == "path" else ["eval", "train"]
    found = {(source.split, source.label, read_source(source, LIMIT)) for source in listing.sources}
    assert found == {
        (side, name, f"{name}'s image".encode()) for side, name in itertools.product(sides, ("cats", "dogs"))
    }
    assert len(list_images(str(path), DataOptions())) == 2 * len(sides)


@pytest.mark.parametrize("start", [0x8B1F, 0x0178, 0x9C78, 0xDA78, 0x5E78])
def test_a_record_whose_length_looks_like_a_packing_is_a_record(tmp_path, start):
    size = start - len(trees.record(b"x" * 300, b"cats")) + 300
    record = trees.record(b"x" * size, b"cats")
    record = trees.record(b"x" * (size + start - len(record)), b"cats")
    assert len(record) == start
    (tmp_path / "a.bin").write_bytes(trees.frame(record) + FRAMES)
    assert [source.label for source in listed(tmp_path / "a.bin").sources] == ["cats", "cats", "dogs"]


def test_records_beside_images_are_left_aside_and_named(tmp_path):
    files = trees.contents("cats/1.jpg", "dogs/2.jpg") | {"a.tfrec": FRAMES}
    path = trees.pack(tmp_path, "folder", files)
    listing = listed(path)
    assert (listing.layout, listing.ignored) == ("class_folders", [("a.tfrec", "records")])
    assert len(listed(path, layout="tfrecord").sources) == 2


def test_an_archive_beside_records_is_left_aside_and_named(tmp_path):
    listing = listed(trees.pack(tmp_path, "folder", {"a.tfrec": FRAMES, "b.zip": archive("zip", FLAT["cats"])}))
    assert (listing.layout, listing.ignored) == ("tfrecord", [("b.zip", "archive")])


def test_a_damaged_zlib_stream_gives_what_is_there(tmp_path):
    images = [os.urandom(3000) for _ in range(20)]
    frames = b"".join(trees.frame(trees.record(image, b"dogs" if n % 2 else b"cats")) for n, image in enumerate(images))
    (tmp_path / "a.tfrecord").write_bytes(zlib.compress(frames)[:-30_000])
    *whole, lost = listed(tmp_path / "a.tfrecord").sources
    assert "damaged record at byte" in lost.problem
    assert [read_source(source, LIMIT) for source in whole[::-1]] == images[: len(whole)][::-1]
    assert len(whole) > 5


@pytest.mark.parametrize("outer", ["zip", "tar", "tar.gz", "stored zip"])
@pytest.mark.parametrize("seed", range(2))
def test_damage_anywhere_in_nested_archives_never_crashes(tmp_path, outer, seed):
    dice = random.Random(seed)
    inner = {f"{name}.{kind}": archive(kind, FLAT[name]) for name in FLAT for kind in ("zip", "tar")}
    inner["more.tar"] = archive("tar", trees.contents("a.jpg") | {"a.cls": b"0", "b.jpg": b"b", "b.cls": b"1"})
    whole = archive(outer.removeprefix("stored "), inner, stored=outer == "stored zip")
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 10)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        (tmp_path / "a.x").write_bytes(content)
        try:
            found = listed(tmp_path / "a.x").sources
        except InputError as error:
            assert "\0" not in str(error)  # noqa: PT017
            continue
        for source in found:
            with contextlib.suppress(Unreadable):
                assert source.problem or len(read_source(source, LIMIT)) <= LIMIT
