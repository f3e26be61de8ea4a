"""The image formats that people have: how each is told by its first bytes, its suffixes, and what becomes of it.

Three kinds. What TensorFlow decodes is stored as it is (`features.FORMATS`). What Pillow decodes to well-defined RGB
pixels, in code that runs nothing and asks no other program, is converted (a row below without a way out). Everything
else is named, with one way out: it counts as an image that cannot be used, never as a file beside the images.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

HEAD = 1024  # bytes that decide; DICOM's are at 128, and SVGs begin with comments


class Format(NamedTuple):
    """A row of the table.

    Attributes:
        name: for Pillow, in lower case, where it is read; else for people.
        start: pattern of a file's first bytes; empty: told otherwise, or not at all.
        suffixes: in lower case.
        way_out: what to do with a file that is not read; empty: it is read.
    """

    name: str
    start: bytes
    suffixes: tuple[str, ...]
    way_out: str = ""


RAW = "what the sensor saw, not a picture yet; export it as JPEG or PNG (camera's program, darktable, RawTherapee)"
DRAWING = "a vector drawing; export it as PNG in the size that is meant (Inkscape, ImageMagick)"
WIDE = "values without a fixed black and white; tone-map it and export it as PNG"
LAYERS = "an editor's file of layers; export it as PNG"
MEDICAL = "a medical image; window it, and export it as PNG (dcm2img of DCMTK, pydicom)"
ICON = "several pictures of other sizes; export the one that is meant as PNG"
OLD = "a format that no decoder here takes; convert it to PNG (ImageMagick, XnConvert)"

# The first row that fits counts: what is a special kind of another format comes before it.
IMAGE_FORMATS = (
    Format("Canon raw", rb"II\*\0.{4}CR|II\x1a\0\0\0HEAPCCDR|.{4}ftypcrx ", (".cr2", ".cr3", ".crw"), RAW),
    Format("Nikon raw", b"", (".nef", ".nrw"), RAW),
    Format("Sony raw", b"", (".arw", ".sr2", ".srf"), RAW),
    Format("Fujifilm raw", rb"FUJIFILMCCD-RAW", (".raf",), RAW),
    Format("Olympus raw", rb"II(?:RO|RS)|MMOR", (".orf", ".ori"), RAW),
    Format("Panasonic raw", rb"IIU\0", (".rw2", ".rwl"), RAW),
    Format("Pentax raw", b"", (".pef",), RAW),
    Format("Samsung raw", b"", (".srw",), RAW),
    Format("Sigma raw", rb"FOVb", (".x3f",), RAW),
    Format("Minolta raw", rb"\0MRM", (".mrw", ".mdc"), RAW),
    Format("DNG", b"", (".dng", ".gpr"), RAW),
    Format("camera raw", b"", (".raw", ".3fr", ".fff", ".iiq", ".mos", ".mef", ".erf", ".dcr", ".kdc", ".k25"), RAW),
    Format("jpeg", rb"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo")),
    Format("png", rb"\x89PNG\r\n\x1a\n", (".png", ".apng")),
    Format("gif", rb"GIF8[79]a", (".gif",)),
    Format("bmp", rb"BM", (".bmp",)),
    Format("webp", rb"RIFF.{4}WEBP", (".webp",)),
    Format("tiff", rb"II\*\0|MM\0\*|II\+\0|MM\0\+", (".tif", ".tiff", ".btf", ".tf8")),  # those with + are BigTIFF
    Format("heif", b"", (".heic", ".heif", ".hif", ".heics", ".heifs")),  # by `sniff_format`
    Format("avif", b"", (".avif", ".avifs")),
    Format("jpeg2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")),
    Format("ppm", rb"P[1-6]\s+[#\d]", (".ppm", ".pgm", ".pbm", ".pnm")),
    Format("qoi", rb"qoif.{8}[\x03\x04][\0\x01]", (".qoi",)),
    Format("pcx", rb"\n[\0\x02\x03\x05]\x01[\x01\x02\x04\x08]", (".pcx",)),
    Format("sgi", rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]", (".sgi", ".rgb", ".rgba", ".bw")),
    Format("sun", rb"\x59\xa6\x6a\x95", (".ras", ".sun")),
    Format("psd", rb"8BPS\0\x01", (".psd",)),
    Format("dib", rb"[\x28\x6c\x7c]\0{3}.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0[\0-\x06]\0{3}", (".dib",)),
    Format(  # no magic: a map type and a picture type that fit each other, a size, a depth, and no unknown flag
        "tga",
        rb".(?:\0[\x02\x03\x0a\x0b]\0{4}[\0\x08\x0f\x10\x18\x20]|\x01[\x01\x09]..(?:[\x01-\xff]\0|\0\x01)[\x0f\x10\x18\x20])"
        rb".{4}(?!\0\0)..(?!\0\0)..[\x08\x10\x18\x20][\0-\x3f]",
        (".tga", ".icb", ".vda", ".vst"),
    ),
    Format("PAM", rb"P7\s", (".pam",), OLD),
    Format("PFM", rb"P[fF]\s", (".pfm",), WIDE),
    Format("JPEG XL", rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", (".jxl",), "convert it to JPEG or PNG (djxl of libjxl)"),
    Format("JPEG XR", rb"II\xbc", (".jxr", ".wdp", ".hdp"), OLD),
    Format("JPEG-LS", b"", (".jls",), OLD),
    Format("DICOM", rb".{128}DICM", (".dcm", ".dicom", ".dic"), MEDICAL),
    Format("SVG", b"", (".svg", ".svgz"), DRAWING),
    Format("PDF", rb"%PDF-", (".pdf",), "a document; export its pages as PNG (pdftoppm), or keep it elsewhere"),
    Format("EPS", rb"%!PS|\xc5\xd0\xd3\xc6", (".eps", ".ps", ".ai"), DRAWING),
    Format("Windows metafile", rb"\xd7\xcd\xc6\x9a|\x01\0{3}.{36} EMF", (".wmf", ".emf"), DRAWING),
    Format("DjVu", rb"AT&TFORM", (".djvu", ".djv"), "a document; export its pages as TIFF or PNG (ddjvu)"),
    Format("icon", rb"\0\0[\x01\x02]\0[^\0]\0.{3}\0", (".ico", ".cur"), ICON),
    Format("Apple icon", rb"icns", (".icns",), ICON),
    Format("large Photoshop document", rb"8BPS\0\x02", (".psb",), LAYERS),
    Format("GIMP", rb"gimp xcf", (".xcf",), LAYERS),
    Format("Krita or OpenRaster", b"", (".kra", ".ora"), LAYERS),
    Format("OpenEXR", rb"\x76\x2f\x31\x01", (".exr",), WIDE),
    Format("Radiance HDR", rb"#\?RADIANCE|#\?RGBE", (".hdr",), WIDE),
    Format("FITS", rb"SIMPLE  =", (".fits", ".fit", ".fts"), WIDE),
    Format("DirectDraw texture", rb"DDS \x7c\0{3}", (".dds",), OLD),
    Format("Khronos texture", rb"\xabKTX ", (".ktx", ".ktx2"), OLD),
    Format("BPG", rb"BPG\xfb", (".bpg",), OLD),
    Format("FLIF", rb"FLIF", (".flif",), OLD),
    Format("MNG", rb"[\x8a\x8b][MJ]NG\r\n\x1a\n", (".mng", ".jng"), OLD),
    Format("X bitmap", rb"/\* XPM \*/|#define \w+_width \d", (".xbm", ".xpm"), OLD),
    Format("Photo CD", b"", (".pcd",), OLD),
    Format("multi-page PCX", rb"\xb1\x68\xde\x3a", (".dcx",), OLD),
    Format("Macintosh picture", b"", (".pict", ".pct"), OLD),
)  # fmt: skip
PATTERNS = tuple((re.compile(row.start, re.DOTALL), row.name) for row in IMAGE_FORMATS if row.start)
SUFFIX_FORMATS = {suffix: row.name for row in IMAGE_FORMATS for suffix in row.suffixes}
WAYS_OUT = {row.name: row.way_out for row in IMAGE_FORMATS if row.way_out}
DOCUMENT_FORMATS = frozenset(
    ("SVG", "PDF", "EPS", "DjVu")
)  # lie beside images as read-me's and logos: these make no class
SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:svg[\s>:]|(?:\?xml|!--|!DOCTYPE svg).*?<svg[\s>:])", re.DOTALL | re.IGNORECASE
)


IMAGE_SUFFIXES = frozenset(suffix for suffix, form in SUFFIX_FORMATS.items() if form not in DOCUMENT_FORMATS)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}


def sniff_format(content: bytes) -> str | None:
    """Finds the format, a name in `IMAGE_FORMATS`, by the first `HEAD` bytes; None: no image by content."""
    head = content[:HEAD]
    if head[4:8] == b"ftyp" and (brand := _sniff_brand(head)):
        return brand
    if SVG.match(head):
        return "SVG"
    return next((name for pattern, name in PATTERNS if pattern.match(head)), None)


def find_format(name: str, content: bytes) -> str:
    """Finds the format by content; by suffix where content says nothing, or TIFF for a raw file; or empty."""
    found, suffix = sniff_format(content) or "", PurePath(name).suffix.lower()
    by_suffix = SUFFIX_FORMATS.get(suffix, "")
    if found == "tiff" and by_suffix in WAYS_OUT:
        return by_suffix
    return found or (by_suffix if by_suffix in WAYS_OUT else "")


def _sniff_brand(content: bytes) -> str | None:
    """HEIF or AVIF by the brands in the `ftyp` box (ISO/IEC 23008-12): the major one, a version, compatible ones."""
    end = min(int.from_bytes(content[:4], "big"), 256)
    brands = {content[place : place + 4] for place in (8, *range(16, end, 4))}
    if brands & AVIF_BRANDS and content[8:12] in AVIF_BRANDS | {b"mif1", b"msf1"}:
        return "avif"
    return "heif" if content[8:12] in HEIF_BRANDS else None


def is_ignorable(name: str, content: bytes) -> bool:
    """Tells whether a file is a side-car: neither its suffix nor its content claims to be an image, readable or not."""
    return PurePath(name).suffix.lower() not in SUFFIX_FORMATS and sniff_format(content) is None
