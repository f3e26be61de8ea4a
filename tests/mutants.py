"""Image files as accidents and attackers leave them: bytes changed blindly, or parts with their checksums fixed."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from tests import kinds, pictures

Mutation = Callable[[bytes, random.Random], bytes]
EXTREMES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
LAYOUTS = ("<H", ">H", "<I", ">I")


def _span(content: bytes, dice: random.Random) -> tuple[int, int]:
    start = dice.randrange(len(content) + 1)
    return start, min(len(content), start + dice.choice((1, 2, 4, 16, 64, 256, 1024)))


def flip(content: bytes, dice: random.Random) -> bytes:
    """Some bits the other way round."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut(content: bytes, dice: random.Random) -> bytes:
    """The end is missing."""
    return content[: dice.randrange(len(content))]


def zero(content: bytes, dice: random.Random) -> bytes:
    """A range of zeros, as a disk leaves them."""
    start, end = _span(content, dice)
    return content[:start] + bytes(end - start) + content[end:]


def overwrite(content: bytes, dice: random.Random) -> bytes:
    """A range of noise."""
    start, end = _span(content, dice)
    return content[:start] + dice.randbytes(end - start) + content[end:]


def insert(content: bytes, dice: random.Random) -> bytes:
    """Some bytes too many."""
    start, end = _span(content, dice)
    return content[:start] + dice.randbytes(end - start) + content[start:]


def remove(content: bytes, dice: random.Random) -> bytes:
    """Some bytes too few."""
    start, end = _span(content, dice)
    return content[:start] + content[end:]


def repeat(content: bytes, dice: random.Random) -> bytes:
    """A range twice."""
    start, end = _span(content, dice)
    return content[:end] + content[start:]


def append(content: bytes, dice: random.Random) -> bytes:
    """Something behind the end: noise, zeros, the file once more."""
    return content + dice.choice((dice.randbytes(dice.randrange(1, 5000)), bytes(4096), content))


def lie(content: bytes, dice: random.Random) -> bytes:
    """A number in the header, such as a size, that is not so."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2))):
        layout = dice.choice(LAYOUTS)
        size = struct.calcsize(layout)
        place = dice.randrange(max(1, min(len(changed) - size, 300)))
        if place + size <= len(changed):
            struct.pack_into(layout, changed, place, dice.choice(EXTREMES) & (1 << 8 * size) - 1)
    return bytes(changed)


def empty(content: bytes, dice: random.Random) -> bytes:
    """Nothing, or next to nothing."""
    return content[: dice.choice((0, 0, 1, 4, 12))]


def split_png(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and data of each chunk of a whole PNG."""
    place, parts = 8, []
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        parts.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return parts


def join_png(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, every checksum right."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(pictures.chunk(*part) for part in parts)


def edit_chunks(content: bytes, dice: random.Random) -> bytes:
    """A chunk lost, doubled, swapped or changed, with its checksum fixed."""
    parts = split_png(content)
    index = dice.randrange(len(parts))
    kind, data = parts[index]
    action = dice.randrange(5)
    if action == 0:
        parts.pop(index)
    elif action == 1:
        parts.insert(dice.randrange(len(parts)), parts[index])
    elif action == 2:
        other = dice.randrange(len(parts))
        parts[index], parts[other] = parts[other], parts[index]
    elif action == 3:
        parts[index] = (kind, flip(data, dice) if data else dice.randbytes(4))
    else:
        parts[index] = (kind, cut(data, dice) if data else b"")
    return join_png(parts)


def edit_rows(content: bytes, dice: random.Random) -> bytes:
    """Another zlib stream in the rows, with all checksums right: too short, too long, other filters, cut, of noise."""
    parts = split_png(content)
    rows = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    packed = zlib.compress(rows, dice.randrange(10))
    choices = (
        zlib.compress(rows[: dice.randrange(len(rows))]),
        zlib.compress(rows + bytes(dice.randrange(1, 100_000))),
        zlib.compress(flip(rows, dice)),
        zlib.compress(dice.randbytes(len(rows))),
        packed[: dice.randrange(len(packed))],
        flip(packed, dice),
        packed[:-4] + dice.randbytes(4),
        b"",
    )
    stream, step = dice.choice(choices), dice.choice((50, 1000, 1 << 20))
    pieces = [(b"IDAT", stream[start : start + step]) for start in range(0, len(stream), step)] or [(b"IDAT", b"")]
    first = next(index for index, (kind, _) in enumerate(parts) if kind == b"IDAT")
    return join_png(parts[:first] + pieces + [part for part in parts[first:] if part[0] != b"IDAT"])


def grow_png(content: bytes, dice: random.Random) -> bytes:
    """Metadata: long, packed, broken, with a wrong checksum, or about how the picture is turned."""
    text = dice.choice((b"x" * 2_000_000, dice.randbytes(300), bytes(20_000_000)))
    turned = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0" + struct.pack("<I", dice.randrange(12)) + bytes(4)
    extra = dice.choice(
        (
            (b"zTXt", b"Comment\0\0" + zlib.compress(text)),
            (b"tEXt", b"Comment\0" + text[:1_200_000]),
            (b"iCCP", b"sRGB\0\0" + zlib.compress(text[:3_000_000])),
            (b"eXIf", turned),
            (b"eXIf", flip(turned, dice)),
            (b"tRNS", dice.randbytes(dice.randrange(8))),
            (b"gAMA", dice.randbytes(4)),
            (b"acTL", dice.randbytes(8)),
            (b"sBIT", dice.randbytes(3)),
        )
    )
    parts = split_png(content)
    place = dice.randrange(1, len(parts))
    grown = join_png([*parts[:place], extra, *parts[place:]])
    if dice.random() < 0.3:
        end = grown.index(extra[0]) + 4 + len(extra[1])
        grown = grown[:end] + dice.randbytes(4) + grown[end + 4 :]
    return grown


def split_jpeg(content: bytes) -> list[bytes]:
    """The segments of a JPEG's header, then the rest."""
    place, parts = 2, [content[:2]]
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        length = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        parts.append(content[place : place + length])
        place += length
    return [*parts, content[place:]]


def edit_segments(content: bytes, dice: random.Random) -> bytes:
    """A segment of a JPEG's header lost, doubled, swapped, changed, or a new one."""
    parts = split_jpeg(content)
    index = dice.randrange(1, len(parts))
    action = dice.randrange(5)
    if action == 0:
        parts.pop(index)
    elif action == 1:
        parts.insert(index, parts[index])
    elif action == 2:
        other = dice.randrange(1, len(parts))
        parts[index], parts[other] = parts[other], parts[index]
    elif action == 3:
        parts[index] = parts[index][:4] + flip(parts[index][4:] or b"\0", dice)
    else:
        marker, data = dice.choice((0xFE, 0xE1, 0xE2, 0xDD, 0xDB, 0xC4, 0xEE)), dice.randbytes(dice.randrange(200))
        parts.insert(index, struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data)
    return b"".join(parts)


def turn_jpeg(content: bytes, dice: random.Random) -> bytes:
    """An orientation tag, of a value that may mean nothing."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0" + struct.pack("<I", dice.randrange(12)) + bytes(4)
    return content[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif + content[2:]


def close_jpeg(content: bytes, dice: random.Random) -> bytes:
    """The rows end early, with the end marker behind them."""
    start = content.rfind(b"\xff\xda")
    return content[: dice.randrange(start, len(content))] + b"\xff\xd9"


def close_riff(content: bytes, dice: random.Random) -> bytes:
    """A WebP whose picture ends early, with all sizes fixed."""
    place, parts = 12, []
    while place + 8 <= len(content):
        kind, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        parts.append((kind, content[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    index = dice.randrange(len(parts))
    parts[index] = (parts[index][0], dice.choice((cut, flip, zero))(parts[index][1] or b"\0", dice))
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def edit_directory(content: bytes, dice: random.Random) -> bytes:
    """An entry of a TIFF's directory with another tag, type, count or value."""
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    changed = bytearray(content)
    layout, offset = dice.choice((("<H", 0), ("<H", 2), ("<I", 4), ("<I", 8), ("<I", 8), ("<I", 8)))
    value = dice.choice((*EXTREMES, 254, 330, 50706, 5, 6, 32773, 34712))
    place = start + 2 + 12 * dice.randrange(entries) + offset
    struct.pack_into(layout, changed, place, value & (1 << 8 * struct.calcsize(layout)) - 1)
    return bytes(changed)


BLIND: tuple[Mutation, ...] = (flip, cut, zero, overwrite, insert, remove, repeat, append, lie, lie, empty)
KNOWING: dict[str, tuple[Mutation, ...]] = {
    "png": (edit_chunks, edit_chunks, edit_rows, edit_rows, grow_png, grow_png),
    "jpeg": (edit_segments, edit_segments, turn_jpeg, close_jpeg),
    "webp": (close_riff, close_riff),
    "tiff": (edit_directory, edit_directory, edit_directory),
}


def mutated_files(count: int, seed: int = 1, height: int = 40, width: int = 52) -> Iterator[tuple[str, bytes]]:
    """So many files of all kinds, each with its name; the same for the same seed. One in twelve is left whole."""
    wholes = [kinds.whole_files(pictures.smooth(height, width, number)) for number in range(4)]
    suffixes = dict(pictures.SUFFIXES, jpeg2000=".jp2", sun=".ras", heif=".heic", tiff=".tif")
    names = list(wholes[0])
    for number in range(count):
        dice = random.Random(f"{seed}/{number}")
        kind = names[number % len(names)]
        form, content = kind.split()[-1], dice.choice(wholes)[kind]
        if dice.randrange(12):
            for _ in range(dice.choice((1, 1, 1, 2))):
                knowing = KNOWING.get(form, ()) if _is_whole(content, form) else ()
                content = dice.choice(dice.choice((BLIND, knowing or BLIND)))(content or b"\0", dice)
        suffix = (
            suffixes.get(form, f".{form}") if dice.randrange(20) else dice.choice((".jpg", ".png", ".tiff", ".webp"))
        )
        yield f"{number:05d}{suffix}", content


def _is_whole(content: bytes, form: str) -> bool:
    """Whether the mutations that know a format can find their way in a file that was changed before."""
    if form == "png":
        kinds_found = [kind for kind, _ in split_png(content)]
        try:
            zlib.decompress(b"".join(data for kind, data in split_png(content) if kind == b"IDAT"))
        except zlib.error:
            return False
        return content.startswith(b"\x89PNG") and b"IDAT" in kinds_found and len(kinds_found) > 2
    if form == "tiff":
        start = int.from_bytes(content[4:8], "little")
        entries = int.from_bytes(content[start : start + 2], "little")
        return content.startswith(b"II*\0") and entries > 0 and start + 2 + 12 * entries < len(content)
    if form == "webp":
        return content.startswith(b"RIFF") and len(content) > 20
    return len(content) > 100 and np.frombuffer(content[:2], ">u2")[0] == 0xFFD8 and b"\xff\xda" in content
