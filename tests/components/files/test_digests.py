"""Digests tell contents apart, wherever they lie."""

import hashlib

import pytest

from components.files.digests import digest_files, digest_folder, digest_of, digest_path, seal, unseal
from components.files.paths import make_folder, write_atomically


def test_a_local_folder_and_its_remote_copy_have_one_digest(tmp_path):
    remote = f"ram://{tmp_path}/root"
    for root in (str(tmp_path), remote):
        make_folder(f"{root}/a")
        write_atomically(f"{root}/x", b"1")
        write_atomically(f"{root}/a/y", b"2")
    assert digest_files(remote) == {"x": digest_of(f"{remote}/x"), "a/y": hashlib.sha256(b"2").hexdigest()}
    assert digest_path(remote) == digest_folder(f"{remote}/") == digest_path(tmp_path)
    assert digest_path(f"{remote}/x") == hashlib.sha256(b"1").hexdigest()
    write_atomically(f"{remote}/a/y", b"3")
    assert digest_path(remote) != digest_path(tmp_path)


def test_a_seal_holds_only_for_its_content():
    assert unseal(seal(b"x\ny")) == b"x\ny"
    with pytest.raises(ValueError, match="sha256 is not that of its content"):
        unseal(seal(b"x\ny")[:-1])
