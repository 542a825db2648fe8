"""PNG to pixels. The chunks are walked here and only those that make the picture reach Pillow: text, profiles and
animation frames, with their own bombs and warnings, never do, and a cut or flipped byte is noticed by length or CRC."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.header import check_size
from fmnist_ray.images.orientation import read_orientation, turn_upright
from fmnist_ray.images.transparency import flatten_on_white
from fmnist_ray.schema import Reason

MAGIC = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE = 0, 2, 3
_WANTED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"}
_HEADER_BYTES = 12 + 13


def read_png(data: bytes, limits: ImageLimits) -> np.ndarray:
    """Pixels uint8 (H, W) or (H, W, 3) of a PNG; of an animated one, the default image."""
    chunks = _read_chunks(data, limits)
    bits, colour = chunks[b"IHDR"][16:18]
    key = chunks.pop(b"tRNS", b"") if colour != _PALETTE else b""
    exif = chunks.pop(b"eXIf", b"")
    image: Image.Image = PngImagePlugin.PngImageFile(BytesIO(b"".join((MAGIC, *chunks.values()))))
    image.load()
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    pixels = np.asarray(flatten_on_white(image.convert("L") if image.mode == "1" else image))
    if key:
        pixels = _whiten_key(pixels, key[8:-4], bits, colour)
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return turn_upright(pixels, read_orientation(exif[8:-4]))


def _read_chunks(data: bytes, limits: ImageLimits) -> dict[bytes, bytes]:
    """The wanted chunks by kind, in the order of the file, the pieces of IDAT joined."""
    chunks: dict[bytes, bytes] = {}
    image_data: list[bytes] = []
    for kind, chunk in _walk(data):
        if not chunks:
            if kind != b"IHDR" or len(chunk) != _HEADER_BYTES:
                raise ImageRejected(Reason.UNDECODABLE, "the PNG does not start with its header")
            width, height = struct.unpack_from(">II", chunk, 8)
            check_size(width, height, limits)
        elif kind in chunks and kind != b"IDAT":
            raise ImageRejected(Reason.UNDECODABLE, f"the PNG has two {kind.decode()} chunks")
        if kind == b"IDAT":
            image_data.append(chunk)
        chunks[kind] = chunk
    needed = [b"PLTE", b"IDAT"] if chunks[b"IHDR"][17] == _PALETTE else [b"IDAT"]
    for kind in needed:
        if kind not in chunks:
            raise ImageRejected(Reason.UNDECODABLE, f"the PNG has no {kind.decode()} chunk")
    chunks[b"IDAT"] = b"".join(image_data)
    return chunks


def _walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes (length to checksum) of each wanted chunk, up to IEND; checks that it is whole and its CRC."""
    kind, end = b"", len(MAGIC)
    while kind != b"IEND":
        start = end
        if start + 12 > len(data):
            raise ImageRejected(Reason.TRUNCATED, "the PNG ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise ImageRejected(Reason.TRUNCATED, f"the PNG ends within its {kind!r} chunk")
        if kind not in _WANTED:
            continue
        chunk = data[start:end]
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise ImageRejected(Reason.UNDECODABLE, f"the checksum of its {kind.decode()} chunk is wrong")
        yield kind, chunk


def _whiten_key(pixels: np.ndarray, key: bytes, bits: int, colour: int) -> np.ndarray:
    """White where a pixel has the one colour that tRNS declares transparent. Pillow gives RGB of 16 bits as 8."""
    if len(key) != (2 if colour == _GREY else 6):
        raise ImageRejected(Reason.UNDECODABLE, f"its tRNS chunk has {len(key)} bytes")
    values = np.frombuffer(key, ">u2").astype(np.uint32)
    if bits < 8:
        values = values * (255 // ((1 << bits) - 1))
    elif colour == _RGB and bits == 16:
        values >>= 8
    hidden = pixels == values[0] if colour == _GREY else (pixels == values).all(axis=-1)
    whitened = pixels.copy()
    whitened[hidden] = np.iinfo(pixels.dtype).max
    return whitened
