"""Pictures of files that are in no example, read again where the data was read from: few, and only if they are there.

What is read is held against the digest in the manifest: a file that was changed since is another picture.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from components.example_gen.manifest import Row
from components.files.paths import is_remote
from components.images.findings import EMPTY, NOT_AN_IMAGE, TOO_LARGE, TRUNCATED, UNREADABLE
from components.options.data import DataOptions
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.sources.content.readers import describe_error
from components.sources.find import list_sources
from components.sources.formats.folders import local_source
from components.sources.listing import Source
from components.sources.table import read_source

DRAWN = 64  # pictures of a page that are read from the data itself
MAX_BYTES = 32_000_000  # of a file that is drawn
MAX_LISTED = 20_000  # files of an archive or a table that are listed again for their pictures
NO_PICTURE = {EMPTY, NOT_AN_IMAGE, TOO_LARGE, UNREADABLE}  # what would not decode, or only at a price

log = logging.getLogger("graft.report")


@contextmanager
def taking_what_is_there(cut: bool) -> Iterator[None]:
    """Lets Pillow draw the rows that a cut file still has; a setting of the whole process, so for one picture only."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or cut
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


class SourcePictures:
    """Draws files of the data; the key of a picture is empty where it cannot be drawn."""

    def __init__(self, inputs: ReportInputs, pictures: Pictures) -> None:
        self._inputs, self._pictures, self._left = inputs, pictures, DRAWN

    def want(self, row: Row) -> str:
        """Gives the key of the picture of a row of the manifest: that of the example, or of the file drawn here."""
        if row.sha256 in self._inputs.row_of:
            return self._pictures.want(row.sha256)
        key = f"file/{row.name}"
        if key in self._pictures.drawn:
            return key
        content = self._read(row)
        with taking_what_is_there(row.reason == TRUNCATED):
            return self._pictures.add(key, content) if content else ""

    def _read(self, row: Row) -> bytes:
        """Reads the content of a row; empty where it is not there, not the same, or not worth reading."""
        if row.reason in NO_PICTURE or self._left <= 0 or (source := self._find(row.name)) is None:
            return b""
        self._left -= 1
        try:
            content = read_source(source, MAX_BYTES)
        except Exception as error:  # noqa: BLE001  whatever a damaged archive raises: the row stands without a picture
            log.info("no picture of %s: %s", row.name, error)
            return b""
        return content if not row.sha256 or hashlib.sha256(content).hexdigest() == row.sha256 else b""

    def _find(self, name: str) -> Source | None:
        root = self._inputs.data_path
        if not root or is_remote(root):
            return None
        path = os.path.join(root, name)
        try:
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                return local_source(name, path, status)
        except (OSError, ValueError) as error:
            log.debug("not a file by itself: %s: %s", name, error)
        return self._listed.get(name)

    @cached_property
    def _listed(self) -> dict[str, Source]:
        """The sources of the data by name, where they are no plain files and not too many to list again."""
        inputs = self._inputs
        if not os.path.exists(inputs.data_path) or inputs.dataset.get("found", 0) > MAX_LISTED:
            return {}
        try:
            options = DataOptions.model_validate(inputs.passport.get("config", {}).get("data", {}))
            return {source.name: source for source in list_sources(inputs.data_path, options).sources}
        except Exception as error:  # noqa: BLE001  the data may be another one by now, or damaged
            log.info("the data cannot be listed again: %s", describe_error(error))
            return {}
