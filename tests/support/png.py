"""PNG images: plain ones for tests, and smaller files for screenshots."""

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


def shrink(image: bytes) -> bytes:
    """Return an opaque screenshot with a palette: a third of the size, and no difference that a reader sees.

    `image` is a PNG of 8-bit RGB or RGBA without interlacing, as Chromium writes it.
    """
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", image[16:29])
    assert (depth, interlaced) == (8, 0)
    channels = {2: 3, 6: 4}[kind]
    pixels = [row[at : at + 3] for row in _rows(image, width * channels) for at in range(0, len(row), channels)]
    bits = next(bits for bits in (8, 7, 6, 5, 4, 3, 2) if len({_coarse(pixel, bits) for pixel in set(pixels)}) <= 256)
    coarse = {pixel: _coarse(pixel, bits) for pixel in set(pixels)}
    palette = sorted(set(coarse.values()))
    index = {pixel: palette.index(color) for pixel, color in coarse.items()}
    rows = (bytes(index[pixel] for pixel in pixels[at : at + width]) for at in range(0, len(pixels), width))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return SIGNATURE + header + chunk(b"PLTE", b"".join(palette)) + chunk(b"IDAT", data) + chunk(b"IEND")


def _coarse(pixel: bytes, bits: int) -> bytes:
    """Return a colour with `bits` bits per channel; white stays white."""
    most = (1 << bits) - 1
    return bytes(round(value * most / 255) * 255 // most for value in pixel)


def _rows(image: bytes, length: int) -> list[bytes]:
    """Return the rows of an image after undoing their filters (PNG specification, section 9)."""
    packed, at = b"", len(SIGNATURE)
    while at < len(image):
        size, name = struct.unpack(">I4s", image[at : at + 8])
        packed += image[at + 8 : at + 8 + size] if name == b"IDAT" else b""
        at += 12 + size
    data, rows, above = zlib.decompress(packed), [], bytes(length)
    pixel = length // struct.unpack(">I", image[16:20])[0]
    for start in range(0, len(data), length + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + length])
        for i in range(length) if kind else ():
            left = row[i - pixel] if i >= pixel else 0
            corner = above[i - pixel] if i >= pixel else 0
            row[i] = (row[i] + _predict(kind, left, above[i], corner)) & 255
        above = bytes(row)
        rows.append(above)
    return rows


def _predict(kind: int, left: int, above: int, corner: int) -> int:
    """Return what a filter of PNG adds to a byte."""
    if kind != 4:
        return (0, left, above, (left + above) // 2)[kind]
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))
