"""Whatever is done to an image file: inspection never raises, and what it takes, TensorFlow decodes."""

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.images import REASONS, Rejected, inspect_image
from tests import pictures

PICTURE = pictures.noise(9, 13)
SEEDS = {
    "jpeg": pictures.encode(PICTURE, "jpeg"),
    "grey jpeg": pictures.encode(PICTURE, "jpeg", "L"),
    "progressive jpeg": pictures.encode(PICTURE, "jpeg", progressive=True),
    "png": pictures.encode(PICTURE),
    "grey png": pictures.encode(PICTURE, "png", "L"),
    "palette png": pictures.encode(PICTURE, "png", "P"),
    "gif": pictures.encode(PICTURE, "gif"),
    "bmp": pictures.encode(PICTURE, "bmp"),
}
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "cut"]), st.integers(0, 2000), st.binary(min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=3,
)


def mutate(content: bytes, changes) -> bytes:
    """The content after each (what, where, bytes) in turn; places count from the end of the file as well."""
    for what, where, new in changes:
        place = where % (len(content) + 1)
        if what == "set":
            content = content[:place] + new + content[place + len(new) :]
        elif what == "insert":
            content = content[:place] + new + content[place:]
        elif what == "delete":
            content = content[:place] + content[place + len(new) :]
        else:
            content = content[:place]
    return content


def check(content: bytes) -> None:
    found = inspect_image(content, 1_000_000)
    if isinstance(found, Rejected):
        assert found.reason in REASONS
        return
    try:
        tf.io.decode_image(content, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        raise AssertionError(f"{found} was accepted; TensorFlow: {error.message}; content: {content!r}") from error


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=300)
@given(changes=edits)
def test_what_is_accepted_can_be_decoded(kind, changes):
    check(mutate(SEEDS[kind], changes))


@pytest.mark.parametrize("kind", SEEDS)
def test_a_file_cut_near_its_end_is_rejected_or_decodes(kind):
    for missing in range(1, 40):
        check(SEEDS[kind][:-missing])


@pytest.mark.parametrize("kind", ["jpeg", "grey jpeg", "progressive jpeg"])
@pytest.mark.parametrize("marker", [0xC0, 0xC4, 0xDA, 0xDD, 0xD0, 0xFE])
def test_a_jpeg_that_ends_in_the_wrong_marker_is_rejected_or_decodes(kind, marker):
    check(SEEDS[kind][:-1] + bytes([marker]))


@settings(max_examples=200)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF", b"II*\0", b""]),
    st.binary(max_size=60),
)
def test_any_bytes_at_all_get_an_answer(magic, rest):
    check(magic + rest)
