"""PNG images for tests."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 8, height: int = 4, gray: int = 0, *, extra: bytes = b"") -> bytes:
    """Return a gray image. `extra` is inserted after its header."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + bytes([gray]) * width) * height)
    return SIGNATURE + header + extra + chunk(b"IDAT", rows) + chunk(b"IEND")
