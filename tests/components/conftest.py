"""Object stores; a model that is none, its data and serving directory; ServableCheck without a fresh process."""

import json
import runpy
import sys

import boto3
import pytest

from components.servable_check.probe_process import PROBE, run_probe
from tests import object_stores
from tests.components.registry.models import make_data, make_model


class Store:
    """One of the object stores, with a bucket of its own."""

    def __init__(self, scheme: str, put) -> None:
        self.root = f"{scheme}://bucket"
        self._put = put

    def put(self, files: dict[str, bytes]) -> None:
        """Writes objects by their keys."""
        for name, content in files.items():
            self._put(name, content)


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory):
    with object_stores.s3_server(tmp_path_factory.mktemp("moto")) as variables:
        yield variables


@pytest.fixture
def s3(s3_address, monkeypatch):
    """S3 as moto's server plays it."""
    for name, value in s3_address.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield Store("s3", lambda name, content: client.put_object(Bucket="bucket", Key=name, Body=content))
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for found in page.get("Contents", []):
            client.delete_object(Bucket="bucket", Key=found["Key"])


@pytest.fixture(scope="session")
def gs_service():
    with object_stores.gs_server("bucket") as service:
        yield service


@pytest.fixture
def gs(gs_service, monkeypatch):
    """Google's storage, as far as reading needs it."""
    place, objects = gs_service
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{place}")
    yield Store("gs", objects.__setitem__)
    objects.clear()


@pytest.fixture(params=["s3", "gs"])
def store(request):
    """Each of them."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "work" / "serving"


@pytest.fixture
def asked_here(monkeypatch, tmp_path):
    """ServableCheck asks the SavedModel's probe in this process: for its answers, it need not be a fresh one."""
    from components.servable_check import executor

    main, asked, answered = runpy.run_path(str(PROBE))["main"], tmp_path / "request.json", tmp_path / "answer.json"

    def ask(request, timeout, probe=PROBE):
        if probe != PROBE:
            return run_probe(request, timeout, probe)
        asked.write_text(json.dumps(request), "utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "meta_path", [*sys.meta_path])  # what the probe hides is there again afterwards
            main(str(asked), str(answered))
        return json.loads(answered.read_text("utf-8")), ""

    monkeypatch.setattr(executor, "run_probe", ask)
