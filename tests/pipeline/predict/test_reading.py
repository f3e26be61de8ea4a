"""One image's failure is its own, whatever it is."""

import pytest

from pipeline.predict import reading
from pipeline.predict.reading import check_image, read_image
from tests import pictures

PICTURE = pictures.noise()


def test_an_image_that_cannot_be_converted_after_all_is_an_error_and_no_end(monkeypatch):
    def fail(content, found):
        raise MemoryError

    monkeypatch.setattr(reading, "encode_for_tensorflow", fail)
    found = check_image("1.webp", pictures.encode(PICTURE, "webp"))
    assert (found.content, found.error, found.pixels) == (b"", "undecodable: MemoryError", 0)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("1.cr2", b"II*\0\x10\0\0\0CR\2\0", "undecodable: Canon raw: "),
        ("2.nef", pictures.encode(PICTURE, "tiff"), "undecodable: Nikon raw: "),
        ("3.pdf", b"%PDF-1.7", "undecodable: PDF: a document; "),
        ("4.pgm", pictures.encode(PICTURE, "ppm", "L"), ""),
        ("5.jp2", pictures.encode(PICTURE, "jpeg2000"), ""),
    ],
)
def test_formats_are_read_or_named_as_in_ingest(tmp_path, name, content, error):
    found = read_image(str(pictures.write(tmp_path / name, content)))
    assert found.error.startswith(error)
    assert bool(found.error) == bool(error)
    assert found.content.startswith(b"" if error else b"\x89PNG")
