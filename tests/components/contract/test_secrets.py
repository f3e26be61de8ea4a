"""Addresses with a password, token or signature are told from those without, and refused without repeating it."""

import pytest

from components.contract.secrets import find_secret, refuse_in_arguments, refuse_secrets
from components.errors import InputError

SECRET = [
    "https://ann:s3cr3t@host/data.zip",
    "https://s3cr3t@host/data.zip",
    "HTTPS://ann:s3cr3t@host",
    "https://ann%3As3cr3t@host/data.zip",
    "https:/ann:s3cr3t@host/data.zip",
    "https://:s3cr3t@host/data.zip",
    "ftp://ann:s3/cr3t@host/data.zip",
    "https://ann:s3?cr3t@host/data.zip",
    "s3://AKIA:s3cr3t@bucket/data",
    "s3a://AKIA:s3cr3t@bucket/data",
    "abfss://box:s3cr3t@account.dfs.core.windows.net/data",
    "https://host/data.zip?X-Amz-Signature=s3cr3t",
    "https://host/data.zip?s3cr3t",
    "https://host/data.zip%3Ftoken=s3cr3t",
    "https://host/data.zip#token=s3cr3t",
    "https://account.blob.core.windows.net/data.zip?sv=1&sig=s3cr3t",
    "gs://bucket/data.zip?access_token=s3cr3t",
    "--artifacts=https://ann:s3cr3t@host/",
    "gs://bucket/a,https://ann:s3cr3t@host/b",
]
PLAIN = [
    "photos",
    "sample:digits",
    "/data/a@b:c/1.jpg",
    "ann:s3cr3t@host",
    "https://host:8080/data.zip",
    "https://[::1]:8080/a@b.zip",
    "s3://bucket/a@b/data.zip",
    "gs://bucket/what?.zip",
    "abfss://box@account.dfs.core.windows.net/data",
    "registry.example.org/graft@sha256:0123",
]


@pytest.mark.parametrize("text", SECRET)
def test_a_secret_is_found_and_not_repeated(text):
    assert find_secret(text)
    with pytest.raises(InputError, match=r"^data\.path: ") as caught:
        refuse_secrets({"data": {"path": text}}, "")
    assert "cr3t" not in str(caught.value)
    with pytest.raises(InputError, match=r"^beam\.args: "):
        refuse_secrets({"beam": {"args": ["-v", text]}}, "")


@pytest.mark.parametrize("text", PLAIN)
def test_an_address_without_one_passes(text):
    assert not find_secret(text)
    refuse_secrets({"data": {"path": text, "classes": [1, None, text]}}, "")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["run", "--data", SECRET[0]], "--data"),
        (["run", f"--data={SECRET[0]}"], "--data"),
        (["run", "--set", f"data.path={SECRET[0]}"], "--set"),
        (["check", SECRET[0]], "the command line"),
    ],
)
def test_what_is_typed_is_refused_by_the_name_of_its_option(arguments, name):
    with pytest.raises(InputError, match=f"^{name}: "):
        refuse_in_arguments(arguments)


def test_a_reason_may_name_a_page():
    refuse_in_arguments(["run", "c.yaml", "--reason", "see https://tracker/show?id=5", "--data", "photos"])
