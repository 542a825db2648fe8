"""What the file of a photo says of it: format, size, how the camera was held, transparency."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import WebPImagePlugin

from fmnist_ray.images import jpeg, png
from fmnist_ray.images.orientation import read_orientation

_PNG_WITH_ALPHA = (4, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """An encoded photo that decodes."""

    format: Literal["PNG", "JPEG", "WebP"]
    width: int
    """As stored, in pixels"""
    height: int
    orientation: int
    """1..8, as EXIF counts; 1 is upright"""
    transparent: bool
    """Has an alpha channel, or a colour that stands for transparency"""


def read_file_facts(data: bytes) -> FileFacts:
    """The facts of an image file that `decode_image` has decoded; of no other, since nothing is checked here."""
    if data.startswith(jpeg.MAGIC):
        header = jpeg.read_header(data)
        size = header.width, header.height
        return _facts("JPEG", size, header.orientation, transparent=False)
    if data.startswith(png.MAGIC):
        chunks = png.read_chunks(data)
        width, height, _, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
        transparent = colour in _PNG_WITH_ALPHA or b"tRNS" in chunks
        return _facts("PNG", (width, height), read_orientation(chunks.get(b"eXIf", b"")), transparent=transparent)
    image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    exif: bytes = image.info.get("exif", b"")
    orientation = read_orientation(exif.removeprefix(b"Exif\0\0"))
    return _facts("WebP", image.size, orientation, transparent=image.mode == "RGBA")


def _facts(
    format_: Literal["PNG", "JPEG", "WebP"], size: tuple[int, int], orientation: int, *, transparent: bool
) -> FileFacts:
    width, height = size
    return FileFacts(format=format_, width=width, height=height, orientation=orientation, transparent=transparent)
