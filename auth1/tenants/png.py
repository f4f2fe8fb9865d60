"""Check that bytes are a PNG image (W3C PNG, third edition, section 5) of an accepted size."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1024  # of width and height
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def png_problem(image: bytes) -> str | None:
    """Return the reason that bytes are not accepted as an image, or None."""
    if not image.startswith(SIGNATURE):
        return "Must be a PNG image."
    chunks = _chunks(image)
    if chunks is None:
        return "The PNG image is damaged: a chunk is incomplete or its checksum is wrong."
    names = [name for name, _ in chunks]
    is_complete = names[:1] == [b"IHDR"] and names[-1:] == [b"IEND"] and b"IDAT" in names
    if not is_complete or names.count(b"IHDR") != 1 or names.count(b"IEND") != 1 or len(chunks[0][1]) != 13:
        return "The PNG image is incomplete."
    if any(name[:1].isupper() and name not in _CRITICAL for name in names):
        return "The PNG image has a critical chunk that is not in the standard."
    width, height = struct.unpack(">II", chunks[0][1][:8])
    if not (1 <= width <= MAX_PIXELS and 1 <= height <= MAX_PIXELS):
        return f"The image is {width} × {height} pixels. Width and height must be 1 to {MAX_PIXELS}."
    return None


def _chunks(image: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the names and data of all chunks; None unless the chunks fill the file and every checksum is right."""
    chunks, at = [], len(SIGNATURE)
    while at < len(image):
        if at + 12 > len(image):
            return None
        length = int.from_bytes(image[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(image) or zlib.crc32(image[at + 4 : end]) != int.from_bytes(image[end : end + 4], "big"):
            return None
        chunks.append((image[at + 4 : at + 8], image[at + 8 : end]))
        at = end + 4
    return chunks
