"""URIs and the launcher's local copies."""

import pytest

from pipeline.kubeflow.task import places


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(places.LOCAL_ROOT_VARIABLE, str(tmp_path))
    for folder in places.FOLDERS.values():
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.mark.parametrize(("scheme", "folder"), places.FOLDERS.items())
def test_there_and_back(root, scheme, folder):
    assert places.to_local(f"{scheme}://b/a/c") == str(root / folder / "b" / "a" / "c")
    assert places.to_uri(places.to_local(f"{scheme}://b/a/c")) == f"{scheme}://b/a/c"


def test_a_uri_stays_where_the_platform_has_no_copies(tmp_path, monkeypatch):
    monkeypatch.setenv(places.LOCAL_ROOT_VARIABLE, str(tmp_path))
    assert places.to_local("gs://b/a") == "gs://b/a"


@pytest.mark.parametrize("path", ["/mnt/graft/serving/1", "relative", "hdfs://b/a"])
def test_other_places_stay(root, path):
    assert places.to_local(path) == path
    assert places.to_uri(path) == path


def test_texts_anywhere_in_a_value_are_mapped(root):
    local = str(root / "s3" / "b" / "a")
    assert places.to_uris({"x": [local, 1, None], "y": {"z": local}}) == {
        "x": ["s3://b/a", 1, None],
        "y": {"z": "s3://b/a"},
    }
