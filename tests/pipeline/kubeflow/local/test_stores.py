"""Pipeline roots: a folder and an S3 endpoint behave alike."""

import boto3
import pytest

from components.errors import InputError
from components.files.digests import digest_folder
from pipeline.kubeflow.local.stores import open_store
from tests import object_stores


@pytest.fixture(scope="module")
def s3_address(tmp_path_factory):
    with object_stores.s3_server(tmp_path_factory.mktemp("moto")) as variables:
        yield variables


@pytest.fixture
def s3(s3_address, monkeypatch):
    """A bucket of a server on this machine; each test gets it empty."""
    for name, value in s3_address.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3").create_bucket(Bucket="bucket")
    yield bucket
    bucket.objects.all().delete()


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    if request.param == "folder":
        yield open_store(str(tmp_path / "root"))
        return
    request.getfixturevalue("s3")
    yield open_store("s3://bucket/prefix/")


def test_a_tree_comes_back_as_it_was_without_empty_folders(store, tmp_path):
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "empty").mkdir()
    for name in ("x", "a/y", "a/b/z"):
        (tree / name).write_text(name)
    store.upload(tree, f"{store.root}/run/out")
    store.upload(tree, f"{store.root}/run/out-of-the-same-beginning")
    store.download(f"{store.root}/run/out", tmp_path / "back")
    found = {
        str(p.relative_to(tmp_path / "back")): p.read_text() for p in (tmp_path / "back").rglob("*") if p.is_file()
    }
    assert found == {name: name for name in ("x", "a/y", "a/b/z")}
    assert not (tmp_path / "back" / "empty").exists()


def test_a_tree_has_the_digest_of_its_copy_on_any_disk_whatever_stands_for_folders(store, tmp_path):
    tree, uri = tmp_path / "tree", f"{store.root}/run/out"
    (tree / "a").mkdir(parents=True)
    for name in ("x", "a/y", "a-b"):
        (tree / name).write_text(name)
    store.upload(tree, uri)
    store.upload(tree, f"{uri}-of-the-same-beginning")
    assert store.digest(uri) == digest_folder(str(tree))
    if store.root.startswith("s3"):
        for marker in ("", "a/", "empty/"):
            boto3.client("s3").put_object(Bucket="bucket", Key=f"prefix/run/out/{marker}", Body=b"")
        assert store.digest(uri) == digest_folder(str(tree))
    store.write(f"{uri}/x", "y")
    assert store.digest(uri) != digest_folder(str(tree))
    assert store.digest(f"{store.root}/absent") == digest_folder(str(tmp_path / "absent"))


def test_one_file_comes_back_as_a_file(store, tmp_path):
    (tmp_path / "page").write_text("page")
    store.upload(tmp_path / "page", f"{store.root}/run/page")
    store.download(f"{store.root}/run/page", tmp_path / "deep" / "page")
    assert (tmp_path / "deep" / "page").read_text() == "page"


def test_texts_and_what_is_there(store, tmp_path):
    uri = f"{store.root}/run/text.json"
    assert store.read(uri) is None
    assert not store.exists(uri)
    store.write(uri, "one")
    store.write(uri, "two")
    assert store.read(uri) == "two"
    assert store.exists(uri)
    assert store.exists(f"{store.root}/run")
    assert not store.exists(f"{store.root}/ru")


def test_nothing_is_copied_where_there_is_nothing(store, tmp_path):
    store.upload(tmp_path / "absent", f"{store.root}/run/absent")
    store.download(f"{store.root}/run/absent", tmp_path / "still-absent")
    assert not store.exists(f"{store.root}/run/absent")
    assert not (tmp_path / "still-absent").exists()


def test_a_bucket_that_cannot_be_used_is_said(store):
    if store.root.startswith("s3"):
        with pytest.raises(InputError, match="cannot use the bucket absent"):
            open_store("s3://absent/prefix")
    with pytest.raises(InputError, match="expected a folder or s3://BUCKET/PREFIX"):
        open_store("hdfs://x")
