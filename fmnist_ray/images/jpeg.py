"""JPEG to pixels, at the smallest DCT scale that still serves the model.

The segments are walked here first. Lossless JPEGs must never reach simplejpeg 1.9 with a scale: libjpeg-turbo then
ignores the scale and writes the whole image past the end of the small buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simplejpeg

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.header import check_size
from fmnist_ray.images.orientation import read_orientation, turn_upright
from fmnist_ray.schema import Reason

MAGIC = b"\xff\xd8\xff"

_OVERSAMPLING = 2
_MAX_SCANS = 200
"""A progressive photo has about ten; each one more is another pass over all coefficients for a few bytes of file."""

_SCAN, _APP1, _FILL = 0xDA, 0xE1, 0xFF
_PROGRESSIVE = 0xC2
_DCT_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset(range(0xD0, 0xDA)) | {0x00, 0x01}
_EXIF = b"Exif\0\0"
_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}


@dataclass(frozen=True, slots=True)
class Header:
    """What a JPEG says of itself ahead of its first scan."""

    width: int
    height: int
    space: str
    progressive: bool
    orientation: int


def read_jpeg(data: bytes, limits: ImageLimits, *, min_side: int) -> np.ndarray:
    """Pixels uint8 (H, W) or (H, W, 3) of a JPEG, with both sides at least twice `min_side` where it has them.

    Twice, because the result then differs from that of a full decode by less than one grey level of 255 in the mean
    (0.4 to 0.7 on photos of 288 and 800 pixels made 28 pixels high); at once it is 1.3.
    """
    header = read_header(data)
    check_size(header.width, header.height, limits)
    if header.progressive and data.count(b"\xff\xda") > _MAX_SCANS:
        raise ImageRejected(Reason.TOO_LARGE, f"the JPEG has more than {_MAX_SCANS} scans")
    side = _OVERSAMPLING * min_side
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, header.space, min_height=side, min_width=side)
    except ValueError as error:
        raise ImageRejected(_reason(str(error)), f"JPEG: {error}") from error
    if header.space == "CMYK":
        pixels = _rgb_of_inverted_cmyk(pixels)
    elif header.space == "GRAY":
        pixels = pixels[:, :, 0]
    return turn_upright(pixels, header.orientation)


def read_header(data: bytes) -> Header:
    """What the segments ahead of the first scan say. As strict as libjpeg at its strictest, so that both see the same
    frame."""
    frame: tuple[int, int, str, bool] | None = None
    orientation = 1
    position = 2
    while position + 4 <= len(data):
        if data[position] != _FILL:
            raise ImageRejected(Reason.UNDECODABLE, f"JPEG: no marker where one is due, at byte {position}")
        marker = data[position + 1]
        if marker == _FILL:
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4])
        if marker in _ALONE or length < 2:
            raise ImageRejected(Reason.UNDECODABLE, f"JPEG: a marker {marker:02X} ahead of the picture")
        segment = data[position + 4 : position + 2 + length]
        position += 2 + length
        if position > len(data):
            break
        if marker == _SCAN:
            if frame is None:
                raise ImageRejected(Reason.UNDECODABLE, "JPEG: a scan without a frame")
            return Header(*frame, orientation)
        if marker in _FRAMES:
            if frame is not None:
                raise ImageRejected(Reason.UNDECODABLE, "JPEG: two frames")
            frame = _read_frame(marker, segment)
        elif marker == _APP1 and segment.startswith(_EXIF):
            orientation = read_orientation(segment[len(_EXIF) :])
    raise ImageRejected(Reason.TRUNCATED, "the JPEG ends before its first scan")


def _read_frame(marker: int, segment: bytes) -> tuple[int, int, str, bool]:
    """Width, height, colour space and whether it is progressive, of a frame segment (ITU-T T.81, section B.2.2)."""
    if len(segment) < 6:
        raise ImageRejected(Reason.UNDECODABLE, f"JPEG: a frame header of {len(segment)} bytes")
    bits, space = segment[0], _SPACES.get(segment[5])
    if marker not in _DCT_FRAMES or bits != 8 or space is None:
        raise ImageRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"a JPEG of frame type SOF{marker - 0xC0} with {segment[5]} components of {bits} bits; "
            "allowed are baseline and progressive ones with 1, 3 or 4 of 8 bits",
        )
    return int.from_bytes(segment[3:5]), int.from_bytes(segment[1:3]), space, marker == _PROGRESSIVE


def _reason(message: str) -> Reason:
    """The reject reason for what libjpeg-turbo says of a JPEG that it will not decode, or only with a warning."""
    if "remature end" in message:
        return Reason.TRUNCATED
    if "subsampling" in message:  # valid, but a layout of colour planes that its fast interface does not know
        return Reason.UNSUPPORTED_FORMAT
    return Reason.UNDECODABLE


def _rgb_of_inverted_cmyk(inks: np.ndarray) -> np.ndarray:
    """Adobe's programs, the only writers of CMYK JPEGs in practice, store 255 for no ink."""
    product: np.ndarray = inks[:, :, :3].astype(np.uint16) * inks[:, :, 3:]
    return np.asarray((product + 127) // 255, np.uint8)
