"""Data sets made by the tests: folders and archives of any names, manifests and TFRecord files."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

CONTAINERS = ("folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def pack(place: Path, container: str, files: dict[str, bytes]) -> str:
    """Makes a folder or an archive below `place` that holds the files; gives its path."""
    if container == "folder":
        for name, content in files.items():
            path = place / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return str(place / "data")
    path = place / f"data.{container}"
    place.mkdir(parents=True, exist_ok=True)
    if container == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, f"w:{container.partition('.')[2]}") as archive:
            for name, content in files.items():
                archive.addfile(*tar_member(name, content))
    return str(path)


def tar_member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""):
    """What `TarFile.addfile` takes."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, io.BytesIO(content)


def contents(*names: str) -> dict[str, bytes]:
    """Files that each hold their own name."""
    return {name: name.encode("utf-8", "surrogateescape") for name in names}


def example(**values) -> bytes:
    """A serialized tf.Example; a double underscore in a name stands for a slash."""
    import tensorflow as tf

    made = {}
    for name, value in values.items():
        many = value if isinstance(value, list) else [value]
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(many[0]) if many else bytes]
        lists = {"bytes_list": tf.train.BytesList, "int64_list": tf.train.Int64List, "float_list": tf.train.FloatList}
        made[name.replace("__", "/")] = tf.train.Feature(**{kind: lists[kind](value=many)})
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def record(image: bytes, label: bytes) -> bytes:
    """An example with the names of TFDS."""
    return example(image__encoded=image, image__class__text=label)


def frame(data: bytes, checksum_off_by: int = 0) -> bytes:
    """One record as TFRecord files have it."""
    from components.sources.content.packing import mask_checksum

    length = struct.pack("<Q", len(data))
    ends = (mask_checksum(data) + checksum_off_by) % 2**32
    return length + struct.pack("<I", mask_checksum(length)) + data + struct.pack("<I", ends)
