"""Data in object stores: S3 as moto's server plays it, Google's storage as far as reading needs it."""

import multiprocessing
import os
import pickle

import pytest

from components.errors import InputError
from components.example_gen.history import open_history
from components.example_gen.scan import scan_data
from components.options.data import DataOptions
from components.sources.content import remote
from components.sources.find import list_images, list_sources
from components.sources.formats.folders import walk_folder
from components.sources.table import read_source
from tests import object_stores, pictures, trees

OPTIONS = DataOptions(path="unused", min_side=1)
ODD = ["a b.jpg", "a#b?c%20.jpg", "日本語.jpg", "-rf.jpg", "'\"`$(x).jpg", "a=b&c+d.jpg"]


def names(tree):
    return sorted(file.name for file in tree.files)


def images(count=4):
    return {
        f"{label}/{index}.png": pictures.encode(pictures.noise(seed=index + 9 * (label == "dogs")))
        for label in ("cats", "dogs")
        for index in range(count)
    }


def put_below(store, folder, files):
    store.put({f"{folder}/{name}": content for name, content in files.items()})
    return f"{store.root}/{folder}"


def scan(path, **options):
    chosen = DataOptions(path=path, min_side=1, near_duplicate_distance=None, **options)
    with open_history("") as memory:
        return scan_data(list_sources(path, chosen), chosen, memory)


def test_folders_are_walked_whatever_their_names(store):
    root = put_below(store, "data", trees.contents("cats/1.jpg", "cats/deep/2.jpg", *(f"dogs/{name}" for name in ODD)))
    for given in (root, f"{root}/", f"{root.upper().split('://')[0]}://bucket/data"):
        tree = walk_folder(given)
        assert names(tree) == sorted(["cats/1.jpg", "cats/deep/2.jpg", *(f"dogs/{name}" for name in ODD)])
        assert tree.folders == ["cats", "cats/deep", "dogs"]
        assert all(read_source(file, 1000).decode() == file.name.removeprefix("data/") for file in tree.files)
        assert all(file.size == len(file.name.encode()) and file.mtime_ns > 0 for file in tree.files)


def test_a_whole_bucket_is_a_folder(store):
    store.put(trees.contents("cats/1.jpg"))
    assert remote.remote_kind(store.root) == "folder"
    assert names(walk_folder(store.root)) == ["cats/1.jpg"]


def test_markers_of_folders_are_no_files(s3):
    s3.put({"data/": b"", "data/cats/": b"", "data/cats/1.jpg": b"1", "data/empty/": b""})
    tree = walk_folder(f"{s3.root}/data")
    assert (names(tree), tree.folders) == (["cats/1.jpg"], ["cats", "empty"])


def test_all_pages_of_a_list_are_read(monkeypatch):
    """Google's storage gives two objects a page in all tests; this S3 gives one."""

    def answer(_path, query, _headers):
        page = int(query.get("continuation-token", ["0"])[0])
        more = f"<NextContinuationToken>{page + 1}</NextContinuationToken>" if page < 2 else ""
        found = f"<Key>data/cats/{page}.jpg</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>1</Size>"
        rest = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}<Contents>{found}</Contents>"
        return 200, {"Content-Type": "application/xml"}, f"<ListBucketResult>{rest}</ListBucketResult>".encode()

    with object_stores.http_server(answer) as place:
        for name, value in {**object_stores.KEYS, "AWS_ENDPOINT_URL": f"http://{place}"}.items():
            monkeypatch.setenv(name, value)
        assert names(walk_folder("s3://bucket/data")) == ["cats/0.jpg", "cats/1.jpg", "cats/2.jpg"]


def test_kinds_are_told_apart(store):
    root = put_below(store, "data", trees.contents("cats/1.jpg"))
    assert [remote.remote_kind(f"{root}{rest}") for rest in ("", "/cats", "/cats/", "/cats/1.jpg", "/none")] == [
        *("folder", "folder", "folder", "file", "")
    ]


def test_files_can_be_read_anywhere(store):
    root = put_below(store, "data", {"1.bin": bytes(range(256)) * 8192})
    with remote.open_file(f"{root}/1.bin") as file:
        assert (file.seek(-3, os.SEEK_END), file.read()) == (2097149, b"\xfd\xfe\xff")
        assert (file.seek(1 << 20), file.read(2), file.tell()) == (1 << 20, b"\0\1", (1 << 20) + 2)
    with pytest.raises(OSError, match=r"No such file|not exist|NOT_FOUND"):
        remote.open_file(f"{root}/none")


def test_files_that_are_not_there_have_a_problem(store):
    root = put_below(store, "data", trees.contents("cats/1.jpg"))
    assert [remote.stat_source("x", f"{root}/{name}").problem for name in ("none", "cats")] == [
        "no such file",
        "a folder",
    ]
    assert "expected a local path" in remote.stat_source("x", "hdfs://host/1.jpg").problem


def test_class_folders_are_scanned(store):
    found = scan(put_below(store, "data", images()))
    assert (found.dataset["layout"], found.dataset["found"], found.dataset["bad"]) == (
        "class_folders",
        8,
        {"cats": 0, "dogs": 0},
    )
    assert all(row.is_example for row in found.rows)


@pytest.mark.parametrize("container", [name for name in trees.CONTAINERS if name != "folder"])
def test_archives_are_read_in_place(s3, tmp_path, container):
    with open(trees.pack(tmp_path, container, images()), "rb") as file:
        s3.put({f"data.{container}": file.read()})
    found = scan(f"{s3.root}/data.{container}")
    assert [row.is_example for row in found.rows] == [True] * 8
    assert "archive" in found.dataset["container"]


def test_tfrecords_are_read_in_place(store):
    records = [trees.frame(trees.record(content, name[:4].encode())) for name, content in images().items()]
    root = put_below(store, "data", {"a.tfrecord": b"".join(records)})
    for path in (root, f"{root}/a.tfrecord"):
        found = scan(path)
        assert (found.dataset["layout"], [row.is_example for row in found.rows]) == ("tfrecord", [True] * 8)


def test_manifests_name_files_beside_them_and_in_buckets(store, tmp_path):
    files = images()
    rows = [f"{name},{name[:4]}" for name in files]
    root = put_below(
        store, "data", {**files, "manifest.csv": "\n".join(["path,label", *rows, "none.png,cats"]).encode()}
    )
    found = scan(root)
    assert (sum(row.is_example for row in found.rows), [row.detail for row in found.rows if row.reason]) == (
        8,
        ["no such file"],
    )
    local = tmp_path / "list.csv"
    local.write_text("\n".join(["path,label", *(f"{root}/{row}" for row in rows)]))
    assert [row.is_example for row in scan(str(local)).rows] == [True] * 8


def test_images_are_listed_without_labels(store):
    root = put_below(store, "data", images())
    assert len(list_images(root, OPTIONS)) == 8


def _read_in_child(pickled, answers):
    answers.put([read_source(source, 100) for source in pickle.loads(pickled)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_what_they_are_handed(store, method):
    sources = walk_folder(put_below(store, "data", trees.contents("cats/1.jpg"))).files
    read_source(sources[0], 100)  # this process has its connections
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(pickle.dumps(sources), answers))
    child.start()
    assert answers.get(timeout=60) == [b"cats/1.jpg"]
    child.join()


@pytest.mark.parametrize(
    "path", ["hdfs://host/data", "https://example.org/data", "abfs://box/data", "file:///data", "x://y"]
)
def test_other_schemes_are_refused_with_what_there_is(path):
    with pytest.raises(InputError, match=r"expected a local path, s3:// or gs://, found .*\n(Mount it|Write /data)"):
        list_sources(path, OPTIONS)


@pytest.mark.parametrize("path", ["s3://", "gs://", "s3:///data"])
def test_a_path_without_a_bucket_is_refused(path):
    with pytest.raises(InputError, match=r"expected (s3|gs)://BUCKET/FOLDER, found .*\nName the bucket"):
        list_sources(path, OPTIONS)


@pytest.mark.parametrize("path", ["s3://nowhere/data", "s3://nowhere"])
def test_a_bucket_that_is_not_there_is_named(s3, path):
    with pytest.raises(InputError, match=r"nowhere.*\nCheck .*name") as caught:
        list_sources(path, OPTIONS)
    assert len(str(caught.value).splitlines()) == 2


def test_names_with_an_empty_folder_are_said_so(store):
    store.put({"data/cats//1.jpg": b"1"})
    with pytest.raises(InputError, match=r"cannot reach .*://bucket/data: .*\nA name in it has an empty folder"):
        list_sources(f"{store.root}/data", OPTIONS)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch")]
)
@pytest.mark.parametrize("path", ["s3://bucket/data", "s3://bucket"])
def test_refusals_say_where_credentials_come_from(monkeypatch, path, status, code):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    with object_stores.http_server(lambda *_: (status, {"Content-Type": "application/xml"}, body)) as place:
        for name, value in {**object_stores.KEYS, "AWS_ENDPOINT_URL": f"http://{place}"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=r"cannot reach s3://bucket.*\nGive credentials .*AWS_PROFILE") as caught:
            list_sources(path, OPTIONS)
    assert len(str(caught.value).splitlines()) == 2


def test_a_service_that_cannot_be_reached_is_said_so(monkeypatch):
    for name, value in {**object_stores.KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"cannot reach s3://nobody/data.*\nCheck the path, the network"):
        list_sources("s3://nobody/data", OPTIONS)
