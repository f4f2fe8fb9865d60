"""The check of an uploaded image."""

import struct

import pytest

from auth1.tenants.png import png_problem
from tests.support.png import SIGNATURE, chunk, png

IMAGE = png()
HEADER = SIGNATURE + chunk(b"IHDR", IMAGE[16:29])


@pytest.mark.parametrize("image", [IMAGE, png(1, 1), png(1024, 1024), png(extra=chunk(b"tEXt", b"Title\0Logo"))])
def test_valid_image_is_accepted(image: bytes) -> None:
    assert png_problem(image) is None


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\x89PNG",
        b"GIF89a" + IMAGE,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        SIGNATURE,
        HEADER,
        HEADER + chunk(b"IEND"),
        SIGNATURE + chunk(b"IEND"),
        IMAGE + b"<script>",
        IMAGE + chunk(b"IEND"),
        SIGNATURE + chunk(b"IHDR", IMAGE[16:28]) + IMAGE[33:],
        png(extra=chunk(b"IHDR", IMAGE[16:29])),
        png(extra=chunk(b"EVIL")),
        png(extra=struct.pack(">I", 2**31 - 1) + b"tEXt"),
        *(IMAGE[:end] for end in range(len(SIGNATURE), len(IMAGE))),
    ],
)
def test_anything_else_is_rejected(image: bytes) -> None:
    assert png_problem(image) is not None


@pytest.mark.parametrize("at", range(len(SIGNATURE), len(IMAGE)))
def test_every_changed_byte_is_detected(at: int) -> None:
    assert png_problem(IMAGE[:at] + bytes([IMAGE[at] ^ 1]) + IMAGE[at + 1 :]) is not None


@pytest.mark.parametrize(("width", "height"), [(1025, 1), (1, 1025), (0, 1), (1, 0), (2**31 - 1, 2**31 - 1)])
def test_size_in_pixels_is_limited(width: int, height: int) -> None:
    header = chunk(b"IHDR", struct.pack(">II", width, height) + IMAGE[24:29])

    assert str(width) in (png_problem(SIGNATURE + header + IMAGE[33:]) or "")
