"""The header of a TFRecord: the length of its data, and a checksum that tells records from any other content.

Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details.
"""

from __future__ import annotations

import struct

import google_crc32c

HEADER = struct.Struct("<QI")  # length of the data, and the masked checksum of these 8 bytes
CHECKSUM = struct.Struct("<I")


def mask_checksum(data: bytes) -> int:
    """CRC-32C of the data, 0..2**32-1, masked as TFRecords have it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def length_of(header: bytes) -> int | None:
    """The length that the 12 bytes of a header give, None where they are none."""
    if len(header) < HEADER.size:
        return None
    length, checksum = HEADER.unpack_from(header)
    return length if checksum == mask_checksum(header[:8]) else None
