"""What the page asks for beside predictions: nothing without its option, nothing for other sites, no paths."""

import base64
import csv
import io

import pytest
import requests
from PIL import Image

from components.registry.find import find_model
from pipeline.serve.corrections import Corrections
from pipeline.serve.page_api import Extras
from tests import pictures
from tests.conftest import CLASSES
from tests.pipeline.serve.fakes import FakeVersion, FixedHost, running


@pytest.fixture
def number(full_workdir):
    return int(find_model(str(full_workdir)).name)


@pytest.fixture(scope="module")
def bare():
    """A server without examples and corrections."""
    with running(FixedHost()) as (url, _):
        yield url


@pytest.fixture
def collecting(tmp_path):
    """A server that takes corrections, of a version with the classes a and b; gives its URL and their folder."""
    with running(FixedHost(), extras=Extras(corrections=Corrections.open(str(tmp_path)))) as (url, _):
        yield url, tmp_path


def correction(content=None, **changes):
    content = pictures.encode(pictures.noise()) if content is None else content
    image = base64.b64encode(content).decode()
    return {"image": image, "label": "b", "predicted": "a", "version": 1} | changes


def send(url, document, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{url}/page/corrections", json=document, headers=names, timeout=60)


def test_the_facts_of_a_version(full_server, number):
    url, _ = full_server
    found = requests.get(f"{url}/page/about/{number}", timeout=60).json()
    assert (found["version"], found["classes"], found["accuracy"], found["interval"]) == (
        number,
        CLASSES,
        0.75,
        [0.5, 0.9],
    )
    assert "<strong>shades</strong>" in found["card"]
    assert {"explain", "explain_class"} < set(found["signatures"])
    assert (found["examples"], found["collects"]) == (True, True)
    assert "manifest_sha256" not in found


def test_examples_are_images_by_number_and_nothing_else_is_told(full_server, number, full_workdir):
    url, _ = full_server
    answer = requests.get(f"{url}/page/examples/{number}", timeout=60)
    assert answer.json() == {"problem": "", "labels": [name for name in CLASSES for _ in range(3)]}
    whole, small = (requests.get(f"{url}/page/examples/{number}/0{end}", timeout=60) for end in ("", "/small"))
    assert max(Image.open(io.BytesIO(small.content)).size) == 40
    assert Image.open(io.BytesIO(whole.content)).format.lower() == whole.headers["content-type"].removeprefix("image/")
    for found in (whole, small):
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert ".img" not in str(found.headers)
    assert str(full_workdir) not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "9",
        "-1",
        "1e3",
        "..%2f..%2fpassport.json",
        "%2e%2e/passport.json",
        "0/../../../healthz",
        "0/large",
        "99999999999",
    ],
)
def test_there_is_no_way_to_anything_but_examples(full_server, number, path):
    url, _ = full_server
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", url))
    request.url = f"{url}/page/examples/{number}/{path}"  # as it is, dots and all
    assert session.send(request, timeout=60).status_code == 404


def test_what_no_option_allows_is_refused_and_says_which(bare):
    examples = requests.get(f"{bare}/page/examples/1", timeout=60)
    assert (examples.status_code, examples.json()["error"]) == (
        404,
        "This server shows no example images: start it with `graft serve MODEL --examples`",
    )
    answer = send(bare, correction())
    assert answer.status_code == 404
    assert "start it with `graft serve MODEL --collect DIR`" in answer.json()["error"]


def test_a_correction_is_written_and_answered(collecting):
    url, folder = collecting
    assert send(url, correction(label=" B ")).json() == {"label": "b", "replaced": "", "images": 1, "is_new": False}
    assert send(url, correction(label="new")).json() == {"label": "new", "replaced": "b", "images": 1, "is_new": True}
    (row,) = csv.DictReader(io.StringIO((folder / "manifest.csv").read_text("utf-8")))
    assert (row["label"], row["predicted"], row["version"]) == ("new", "a", "1")
    assert (folder / row["path"]).read_bytes() == pictures.encode(pictures.noise())


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "expected the texts image"),
        (correction(label=3), "expected the texts image"),
        (correction(version="1"), "expected version"),
        (correction(version=True), "expected version"),
        (correction(version=-1), "expected version"),
        (correction(version=2**63), "expected version"),
        (correction(image="é"), "image: expected base64"),
        (correction(b"words"), "image: not_an_image"),
        (correction(b""), "image: empty"),
        (correction(pictures.encode(pictures.noise())[:200]), "image: truncated"),
        (correction(label="a\nb"), "label: expected the name of a class"),
        (correction(predicted="a\nb"), "label: expected the name of a class"),
        ([], "expected a JSON object"),
    ],
)
def test_a_correction_that_is_none_changes_nothing(collecting, document, message):
    url, folder = collecting
    answer = send(url, document)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
)
def test_pages_of_other_sites_change_nothing(collecting, headers):
    url, folder = collecting
    assert send(url, correction(), **headers).status_code == 403
    assert not (folder / "manifest.csv").exists()
    assert send(url, correction(), Origin=url, Sec_Fetch_Site="same-origin").status_code == 200


def test_reading_does_not_write(collecting):
    url, _ = collecting
    assert requests.get(f"{url}/page/corrections", timeout=60).status_code == 405


def test_a_correction_over_the_limit_is_refused(collecting):
    url, folder = collecting
    assert send(url, correction(b"x" * (33 << 20))).status_code == 413
    assert not (folder / "manifest.csv").exists()


def test_a_version_that_is_not_loaded_has_no_facts(full_server):
    url, _ = full_server
    answer = requests.get(f"{url}/page/about/5", timeout=60)
    assert answer.status_code == 404
    assert "Servable not found" in answer.json()["error"]


def test_a_version_without_passport_still_has_facts(bare):
    found = requests.get(f"{bare}/page/about/1", timeout=60).json()
    assert found["classes"] == FakeVersion().names
    assert (found["examples"], found["collects"]) == (False, False)
