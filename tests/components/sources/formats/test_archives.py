"""Members of archives: nothing leaves the archive, nothing is unpacked to disk, nothing is lost without a word."""

import contextlib
import gzip
import io
import os
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from components.errors import InputError
from components.sources.content.readers import TooLarge
from components.sources.content.streams import Unreadable
from components.sources.formats import links
from components.sources.formats.archives import CUT, ENCRYPTED, LEAVES, archive_kind, clean_name, walk_archive
from components.sources.table import read_source
from tests import trees

LIMIT = 1 << 20
EVIL = [
    "../x.jpg",
    "/etc/passwd",
    "cats/../../x.jpg",
    "C:\\x.jpg",
    "C:x.jpg",
    "\\\\host\\x.jpg",
    "..\\x.jpg",
    "C:/x.jpg",
]


def walk(path):
    return walk_archive(path, archive_kind(path))


def problems(tree):
    return {file.name: file.problem for file in tree.files + tree.refused if file.problem}


@pytest.mark.parametrize("container", trees.CONTAINERS[1:])
def test_members_are_listed_and_read(tmp_path, container):
    files = {
        "cats/1.jpg": b"one" * 5000,
        "./cats//é 2.jpg": b"two",
        "cats/deep/empty.jpg": b"",
        "x" * 250 + ".jpg": b"3",
    }
    path = trees.pack(tmp_path, container, files)
    tree = walk(path)
    assert {file.name: read_source(file, LIMIT) for file in tree.files} == {
        clean_name(name): content for name, content in files.items()
    }
    assert {file.name: file.size for file in tree.files}["cats/1.jpg"] == 15000
    assert {(file.mtime_ns, file.inode) for file in tree.files} == {(os.stat(path).st_mtime_ns, os.stat(path).st_ino)}
    assert container.startswith(tree.container.split()[-2][:3]) or container in ("tar.gz", "tar.bz2", "tar.xz")
    assert os.listdir(tmp_path) == [os.path.basename(path)]


@pytest.mark.parametrize("container", ["zip", "tar", "tar.gz"])
def test_the_kind_is_told_by_the_content(tmp_path, container):
    path = trees.pack(tmp_path, container, trees.contents("cats/1.jpg"))
    os.rename(path, tmp_path / "data.bin")
    assert archive_kind(str(tmp_path / "data.bin")) == container.partition(".")[0]


def test_a_tar_with_a_zip_at_its_end_is_a_tar(tmp_path):
    with open(trees.pack(tmp_path, "zip", trees.contents("a")), "rb") as file:
        path = trees.pack(tmp_path, "tar", {"a.zip": file.read()})
    assert archive_kind(path) == "tar"


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 2000, bytes(2000), b"\x1f\x8bbroken", gzip.compress(b"y" * 2000, mtime=0)],
    ids=["empty", "text", "zeros", "broken gzip", "gzip"],
)
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "x.tar.gz").write_bytes(content)
    assert archive_kind(str(tmp_path / "x.tar.gz")) == ""


@pytest.mark.parametrize("container", ["zip", "tar"])
@pytest.mark.parametrize("name", EVIL)
def test_paths_that_leave_the_archive_are_refused(tmp_path, container, name):
    tree = walk(trees.pack(tmp_path, container, {name: b"evil", "cats/1.jpg": b"good"}))
    assert [file.name for file in tree.files] == ["cats/1.jpg"]
    assert problems(tree) == {name: LEAVES}


def pack_links(tmp_path, aims, kind=tarfile.SYMTYPE):
    """A tar archive with the files `cats/1.jpg` and `all/dogs/2.jpg`, and links: {name: where it leads}."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in trees.contents("cats/1.jpg", "all/dogs/2.jpg").items():
            archive.addfile(*trees.tar_member(name, content))
        for name, target in aims.items():
            archive.addfile(trees.tar_member(name, kind=kind, link=target)[0])
    return walk(str(tmp_path / "a.tar"))


def read_all(tree):
    return {file.name: read_source(file, LIMIT).decode() for file in tree.files if not file.problem}


FOUND = {"cats/1.jpg": "cats/1.jpg", "all/dogs/2.jpg": "all/dogs/2.jpg"}


def test_a_hard_link_is_read_as_what_it_is(tmp_path):
    tree = pack_links(tmp_path, {"cats/3.jpg": "cats/1.jpg", "x/4.jpg": "./all//dogs/2.jpg"}, tarfile.LNKTYPE)
    assert read_all(tree) == FOUND | {"cats/3.jpg": "cats/1.jpg", "x/4.jpg": "all/dogs/2.jpg"}
    assert not problems(tree)


@pytest.mark.parametrize(
    ("aims", "found"),
    [
        ({"cats/3.jpg": "1.jpg"}, {"cats/3.jpg": "cats/1.jpg"}),
        ({"dogs/3.jpg": "../cats/1.jpg"}, {"dogs/3.jpg": "cats/1.jpg"}),
        (
            {"dogs/3.jpg": "4.jpg", "dogs/4.jpg": "../cats/1.jpg"},
            dict.fromkeys(("dogs/3.jpg", "dogs/4.jpg"), "cats/1.jpg"),
        ),
        ({"dogs": "all/dogs"}, {"dogs/2.jpg": "all/dogs/2.jpg"}),
        ({"x": "all", "y.jpg": "x/dogs/2.jpg"}, {"x/dogs/2.jpg": "all/dogs/2.jpg", "y.jpg": "all/dogs/2.jpg"}),
    ],
)
def test_symbolic_links_inside_an_archive_are_followed(tmp_path, aims, found):
    tree = pack_links(tmp_path, aims)
    assert read_all(tree) == FOUND | found
    assert not problems(tree)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize(
    ("name", "target", "problem"),
    [
        ("cats/x.jpg", "/etc/passwd", links.NOT_IN_ARCHIVE),
        ("cats/x.jpg", "../../../etc/passwd", links.NOT_IN_ARCHIVE),
        ("cats/x.jpg", "nowhere.jpg", links.NOT_IN_ARCHIVE),
        ("cats/x.jpg", "", links.NOT_IN_ARCHIVE),
        ("../x.jpg", "cats/1.jpg", LEAVES),
    ],
)
def test_links_that_lead_out_of_the_archive_are_refused_each(tmp_path, kind, name, target, problem):
    tree = pack_links(tmp_path, {name: target}, kind)
    assert problems(tree) == {name: problem}
    assert read_all(tree) == FOUND


@pytest.mark.parametrize(
    "aims", [{"a": "a"}, {"a": "b", "b": "a"}, {"all/dogs/x": ".."}, {"cats/x": ".."}, {"a": "a/b/c/d"}]
)
def test_links_that_go_round_are_refused(tmp_path, aims):
    tree = pack_links(tmp_path, aims)
    assert problems(tree) == dict.fromkeys(aims, links.LINK_LOOP)
    assert read_all(tree) == FOUND


def test_links_to_folders_cannot_fill_the_memory(tmp_path):
    tree = pack_links(tmp_path, {f"l{index:03d}": "all" for index in range(100)})
    assert len(tree.files) == 2 + 100
    assert [*problems(tree).values()] == [links.TOO_MANY] * 80


def test_devices_and_pipes_are_left_aside_as_in_folders(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("c", tarfile.CHRTYPE), ("b", tarfile.BLKTYPE), ("f", tarfile.FIFOTYPE)):
            archive.addfile(trees.tar_member(f"cats/{name}.jpg", kind=kind)[0])
    tree = walk(str(tmp_path / "a.tar"))
    assert tree.ignored == [("cats/c.jpg", "special"), ("cats/b.jpg", "special"), ("cats/f.jpg", "special")]
    assert not tree.files + tree.refused


def test_links_in_a_zip_are_followed_likewise(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cats/1.jpg", "cats/1.jpg")
        for name, target in (("dogs/2.jpg", "../cats/1.jpg"), ("dogs/3.jpg", "/etc/passwd")):
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    tree = walk(str(tmp_path / "a.zip"))
    assert read_all(tree) == {"cats/1.jpg": "cats/1.jpg", "dogs/2.jpg": "cats/1.jpg"}
    assert problems(tree) == {"dogs/3.jpg": links.NOT_IN_ARCHIVE}


SPARSE = ["0.0", "1.0", "old"]


@pytest.mark.parametrize("form", SPARSE)
def test_a_file_with_holes_is_read_whole(tmp_path, form):
    content = bytes(200_000) + os.urandom(5000) + bytes(300_000) + b"end"
    with open(tmp_path / "1.jpg", "wb") as file:
        for start, size in ((200_000, 5000), (505_000, 3)):
            file.seek(start)
            file.write(content[start : start + size])
    (tmp_path / "2.jpg").write_bytes(b"after")
    kind = ["--format=oldgnu"] if form == "old" else ["--format=posix", f"--sparse-version={form}"]
    command = ["tar", "-cSf", "a.tar", *kind, "1.jpg", "2.jpg"]
    if subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode:
        pytest.skip("needs GNU tar")
    tree = walk(str(tmp_path / "a.tar"))
    assert {file.name: read_source(file, LIMIT) for file in tree.files} == {"1.jpg": content, "2.jpg": b"after"}
    assert tree.files[0].kind == "sparse"
    with pytest.raises(TooLarge, match="505,003 bytes, limit 1,000"):
        read_source(tree.files[0], 1000)


def test_backslashes_separate_as_slashes_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("photos\\cats\\", "")
        for name in ("photos\\cats\\1.jpg", ".\\photos\\dogs\\2.jpg", "photos/dogs\\3.jpg"):
            archive.writestr(name, name)
    tree = walk(str(tmp_path / "a.zip"))
    assert sorted(file.name for file in tree.files) == ["photos/cats/1.jpg", "photos/dogs/2.jpg", "photos/dogs/3.jpg"]
    assert tree.folders == ["photos/cats"]
    assert not problems(tree)


@pytest.mark.parametrize("encoding", ["cp437", "cp850", "shift_jis", "utf-8"])
def test_names_in_an_old_encoding_keep_their_classes_apart(tmp_path, encoding):
    names = ["caf\u00e9/1.jpg", "na\u00efve/2.jpg"] if encoding[:2] == "cp" else ["\u732b/1.jpg", "\u72ac/2.jpg"]
    path = trees.pack(
        tmp_path,
        "zip",
        {f"x{index}" + "_" * (len(name.encode(encoding)) - 2): b"1" for index, name in enumerate(names)},
    )
    content = Path(path).read_bytes()
    for index, name in enumerate(names):
        raw = name.encode(encoding)
        content = content.replace(f"x{index}".encode() + b"_" * (len(raw) - 2), raw)
    Path(path).write_bytes(content)
    found = [file.name for file in walk(path).files]
    assert len({name.partition("/")[0] for name in found}) == 2
    if encoding in ("cp437", "utf-8"):
        assert found == names


def test_a_name_in_the_unicode_path_field_wins(tmp_path):
    import zlib

    name = "\u732b/1.jpg".encode()
    info = zipfile.ZipInfo("__/1.jpg")
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"__/1.jpg")) + name
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"x")
    assert [file.name for file in walk(str(tmp_path / "a.zip")).files] == ["\u732b/1.jpg"]


def test_encrypted_members_are_refused(tmp_path):
    path = trees.pack(tmp_path, "zip", trees.contents("cats/1.jpg"))
    content = bytearray(Path(path).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    Path(path).write_bytes(content)
    tree = walk(path)
    assert problems(tree) == {"cats/1.jpg": ENCRYPTED}
    with pytest.raises(Unreadable, match="encrypted"):
        read_source(tree.files[0], LIMIT)


def test_utf8_names_without_the_flag_are_taken_for_utf8(tmp_path):
    path = trees.pack(tmp_path, "zip", {"cats/é.jpg": b"x"})
    content = bytearray(Path(path).read_bytes())
    content[7] &= ~8
    content[content.index(b"PK\x01\x02") + 9] &= ~8
    Path(path).write_bytes(content)
    assert [file.name for file in walk(path).files] == ["cats/é.jpg"]


def test_names_that_are_no_utf8_are_kept(tmp_path):
    path = trees.pack(tmp_path, "tar", {"cats/x.jpg": b"x"})
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(*trees.tar_member(os.fsdecode(b"cats/caf\xe9.jpg"), b"x"))
    assert [os.fsencode(file.name) for file in walk(path).files] == [b"cats/caf\xe9.jpg"]


@pytest.mark.parametrize("container", ["zip", "tar.gz"])
def test_a_bomb_is_not_read(tmp_path, container):
    path = trees.pack(tmp_path, container, {"cats/bomb.jpg": bytes(50 << 20), "cats/1.jpg": b"good"})
    assert os.path.getsize(path) < 100_000
    bomb, good = sorted(walk(path).files, key=lambda file: -file.size)
    with pytest.raises(TooLarge, match="52,428,800 bytes, limit 1,048,576"):
        read_source(bomb, LIMIT)
    assert read_source(good, LIMIT) == b"good"


def test_a_zip_that_lies_about_a_size_is_found_out(tmp_path):
    path = trees.pack(tmp_path, "zip", {"cats/bomb.jpg": bytes(50 << 20)})
    content = bytearray(Path(path).read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 1000)
    Path(path).write_bytes(content)
    with pytest.raises(Unreadable, match="Bad CRC-32"):
        read_source(walk(path).files[0], LIMIT)


def test_a_tar_header_that_would_fill_the_memory_ends_the_archive(tmp_path):
    path = tmp_path / "a.tar.gz"
    good, _ = trees.tar_member("cats/1.jpg", b"")
    long_name, _ = trees.tar_member("x", b"", kind=tarfile.GNUTYPE_LONGNAME)
    long_name.size = 1 << 33
    path.write_bytes(gzip.compress(good.tobuf() + long_name.tobuf() + bytes(5 << 20)))
    tree = walk(str(path))
    assert [file.name for file in tree.files] == ["cats/1.jpg"]
    assert problems(tree) == {"(the rest of the archive)": CUT}


@pytest.mark.parametrize("container", ["tar", "tar.gz"])
def test_archives_put_one_after_the_other_are_one(tmp_path, container):
    path, whole = trees.pack(tmp_path, container, trees.contents("cats/1.jpg")), b""
    for name in ("cats/1.jpg", "cats/2.jpg", "dogs/3.jpg"):
        whole += Path(trees.pack(tmp_path, container, trees.contents(name))).read_bytes()
    Path(path).write_bytes(whole)
    tree = walk(path)
    assert read_all(tree) == {name: name for name in ("cats/1.jpg", "cats/2.jpg", "dogs/3.jpg")}
    assert not problems(tree)


def test_zeros_without_end_behind_an_archive_are_not_read(tmp_path):
    path = trees.pack(tmp_path, "tar", trees.contents("cats/1.jpg"))
    os.truncate(path, 1 << 40)
    assert len(walk(path).files) == 1


def test_a_forged_size_does_not_go_round_for_ever(tmp_path):
    good, _ = trees.tar_member("cats/1.jpg", b"")
    forged, _ = trees.tar_member("cats/2.jpg", b"")
    forged.size = -1024
    path = tmp_path / "a.tar"
    path.write_bytes(good.tobuf() + forged.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert problems(walk(str(path))) == {"(the rest of the archive)": CUT}


@pytest.mark.parametrize("container", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_cut_tar_gives_what_is_there_and_says_so(tmp_path, container, share):
    files = {f"cats/{index}.jpg": os.urandom(3000) for index in range(20)}
    path = trees.pack(tmp_path, container, files)
    os.truncate(path, int(os.path.getsize(path) * share))
    tree = walk(path)
    assert problems(tree) == {"(the rest of the archive)": CUT}
    assert 5 < len(tree.files) < 20
    assert [read_source(file, LIMIT) for file in tree.files[:5]] == list(files.values())[:5]


def test_a_tar_whose_last_member_is_cut_says_so_when_it_is_read(tmp_path):
    path = trees.pack(tmp_path, "tar", {"cats/1.jpg": b"x" * 2000})
    os.truncate(path, 1000)
    tree = walk(path)
    assert problems(tree) == {"(the rest of the archive)": CUT}
    with pytest.raises(Unreadable, match="ends after 488 of 2,000 bytes"):
        read_source(tree.files[0], LIMIT)


def test_garbage_inside_a_tar_is_not_taken_for_its_end(tmp_path):
    path = trees.pack(tmp_path, "tar", trees.contents("cats/1.jpg", "cats/2.jpg", "cats/3.jpg"))
    content = bytearray(Path(path).read_bytes())
    content[1024:1124] = os.urandom(100)
    Path(path).write_bytes(content)
    tree = walk(path)
    assert [file.name for file in tree.files] == ["cats/1.jpg"]
    assert problems(tree) == {"(the rest of the archive)": CUT}


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_zip_is_refused(tmp_path, share):
    path = trees.pack(tmp_path, "zip", {f"cats/{index}.jpg": os.urandom(3000) for index in range(20)})
    os.truncate(path, int(os.path.getsize(path) * share))
    with pytest.raises(
        InputError, match=r"is a damaged zip archive: File is not a zip file\.\nExpected a whole archive"
    ):
        walk(path)


def test_two_members_of_one_name_are_both_there(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(*trees.tar_member("cats/1.jpg", b"old"))
        archive.addfile(*trees.tar_member("cats/1.jpg", b"new"))
    assert [read_source(file, LIMIT) for file in walk(str(tmp_path / "a.tar")).files] == [b"old", b"new"]


def test_folders_are_listed_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cats/", "")
        archive.writestr("cats/1.jpg", "x")
    assert walk(str(tmp_path / "a.zip")).folders == ["cats"]


def test_archives_in_a_remote_file_system(tmp_path, gs):
    for container in ("zip", "tar.gz"):
        local = trees.pack(tmp_path, container, trees.contents("cats/1.jpg", "cats/2.jpg"))
        path = f"{gs.root}/data.{container}"
        gs.put({f"data.{container}": Path(local).read_bytes()})
        tree = walk(path)
        assert [read_source(file, LIMIT) for file in tree.files] == [b"cats/1.jpg", b"cats/2.jpg"]


@pytest.mark.parametrize("seed", range(5))
def test_damaged_archives_never_crash(tmp_path, seed):
    import random

    dice = random.Random(seed)
    for container in ("zip", "tar", "tar.gz"):
        path = trees.pack(tmp_path, container, {f"cats/{index}.jpg": dice.randbytes(500) for index in range(5)})
        whole = Path(path).read_bytes()
        for _ in range(20):
            content = bytearray(whole)
            for _ in range(dice.randint(1, 20)):
                content[dice.randrange(len(content))] = dice.randrange(256)
            with open(path, "wb") as file:
                file.write(content)
            try:
                tree = walk(path) if archive_kind(path) else None
            except InputError:
                continue
            for source in tree.files if tree else ():
                with contextlib.suppress(Unreadable):
                    read_source(source, LIMIT)


def test_a_stream_is_closed_with_its_file(tmp_path):
    from components.sources.content.streams import open_unpacked

    path = trees.pack(tmp_path, "tar.gz", trees.contents("a"))
    with open_unpacked(path) as stream:
        inner = stream.raw._file
        assert isinstance(stream, io.BufferedReader)
    assert inner.closed
