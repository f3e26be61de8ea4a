"""Is a JPEG 2000 codestream whole? Its own size, and its tiles (ISO/IEC 15444-1, annex A); nothing is decoded.

OpenJPEG leaves tiles that are not there black. A tile that ends between two packets is a picture of less detail, which
no decoder can tell from one that was made so.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from components.images.findings import TRUNCATED, UNDECODABLE, Rejection

CODESTREAM = b"\xff\x4f\xff\x51"
TILE_PART, END = 0xFF90, 0xFFD9


class Codestream(NamedTuple):
    """The start of a codestream, in bytes, its picture in pixels, and the number of tiles that it must have."""

    start: int
    height: int
    width: int
    tiles: int


def read_header(content: bytes) -> Codestream:
    """Reads the size of the codestream itself, whatever the boxes around it say.

    Raises:
        Rejection: there is no codestream, or its header is cut or broken.
    """
    start = 0 if content.startswith(CODESTREAM) else _find_box(content, b"jp2c")
    if len(content) < start + 40:
        raise Rejection(TRUNCATED, "the file ends before the codestream's size")
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(
        ">8I", content, start + 8
    )
    width, height = right - left, bottom - top
    if not content.startswith(CODESTREAM, start) or min(width, height, tile_width, tile_height) < 1:
        raise Rejection(UNDECODABLE, "the codestream's header is broken")
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    return Codestream(start, height, width, tiles)


def _find_box(content: bytes, kind: bytes) -> int:
    """Finds the start of the first box's content of a kind (annex I); the file's length: there is none."""
    place = 0
    while place + 8 <= len(content):
        length, head = int.from_bytes(content[place : place + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(content[place + 8 : place + 16], "big"), 16
        if content[place + 4 : place + 8] == kind:
            return place + head
        if length < head:
            break
        place += length
    return len(content)


def check_tiles(content: bytes) -> None:
    """Walks over the parts of the tiles by their lengths.

    Raises:
        Rejection: `truncated`, a tile is missing, or the file ends within one.
    """
    stream, found = read_header(content), set[int]()
    place = stream.start + 2
    while place + 12 <= len(content):
        marker, length = struct.unpack_from(">HH", content, place)
        if marker == TILE_PART:
            tile, part = struct.unpack_from(">HI", content, place + 4)
            found.add(tile)
            place += part or len(content)  # 0: up to the end
        elif marker == END:
            break
        else:
            place += 2 + length
    if len(found) < stream.tiles:
        raise Rejection(TRUNCATED, f"{len(found):,} of {stream.tiles:,} tiles are there")
