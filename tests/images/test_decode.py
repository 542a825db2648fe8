"""Decoding: right pixels for every kind of image, a reason for every other kind of bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.decode import decode_image

LIMITS = ImageLimits()
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    sink = BytesIO()
    image.save(sink, format_, **options)
    return sink.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return SIGNATURE + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def photo(height: int = 60, width: int = 80) -> Image.Image:
    """Smooth colours, different in every corner."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return Image.fromarray((255 * np.stack([down, across, (down + across) / 2], axis=-1)).astype(np.uint8))


def decode(data: bytes, *, min_side: int = 10_000) -> np.ndarray:
    return decode_image(data, LIMITS, min_side=min_side)


def reason_of(data: Any, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode_image(data, limits, min_side=28)
    return caught.value.reason


def test_a_grey_png_comes_out_bit_for_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels), "PNG")), pixels)


@pytest.mark.parametrize("options", [{"format_": "PNG"}, {"format_": "WEBP", "lossless": True}])
def test_lossless_colour_comes_out_bit_for_bit(options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(decode(encoded(photo(), **options)), np.asarray(photo()))


@pytest.mark.parametrize("options", [{"quality": 95, "subsampling": 0}, {"quality": 95, "progressive": True}])
def test_jpeg_colour_is_close(options: dict[str, Any]) -> None:
    difference = decode(encoded(photo(), "JPEG", **options)).astype(int) - np.asarray(photo())
    assert np.abs(difference).max() <= 6


def test_grey_jpeg_is_grey() -> None:
    assert decode(encoded(photo().convert("L"), "JPEG")).shape == (60, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_every_orientation_is_turned_upright(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    data = encoded(photo(), format_, exif=exif, **({"quality": 95} if format_ == "JPEG" else {"lossless": True}))
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("exif", [b"MM\0*\0\0\0\x08\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"junk"])
def test_broken_exif_is_no_reason_to_reject(exif: bytes) -> None:
    assert decode(encoded(photo(), "JPEG", exif=b"Exif\0\0" + exif)).shape == (60, 80, 3)


def translucent(mode: str) -> Image.Image:
    image = photo().convert(mode.removesuffix("A"))
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 80).astype(np.uint8), (60, 1))))
    return image


@pytest.mark.parametrize(("mode", "format_"), [("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")])
def test_alpha_shows_white(mode: str, format_: str) -> None:
    image = translucent(mode)
    pixels = decode(encoded(image, format_, **({"lossless": True, "exact": True} if format_ == "WEBP" else {})))
    values = np.asarray(image).astype(float)
    alpha = values[:, :, -1:] / 255
    expected = values[:, :, :-1] * alpha + 255 * (1 - alpha)
    np.testing.assert_allclose(pixels.reshape(expected.shape), expected, atol=1)
    assert (pixels[:, 0] == 255).all()


def test_transparent_palette_entries_show_white() -> None:
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255, 0, 255, 0]))
    data = png_of(3, 2, 8, 3, bytes([0, 0, 1, 2] * 2), palette, chunk(b"tRNS", bytes([0, 255, 128])))
    np.testing.assert_allclose(decode(data)[0], [[255, 255, 255], [0, 0, 255], [127, 255, 127]], atol=1)


@pytest.mark.parametrize(
    ("bits", "row", "key", "expected"),
    [
        (1, 0b01000000, 0, [255, 255, 255, 255]),
        (1, 0b01000000, 1, [0, 255, 0, 0]),
        (2, 0b00011011, 1, [0, 255, 170, 255]),
        (4, 0x17, 7, [17, 255]),
        (8, 0x17, 0x17, [255]),
    ],
)
def test_a_transparent_grey_shows_white(bits: int, row: int, key: int, expected: list[int]) -> None:
    data = png_of(len(expected), 2, bits, 0, bytes([0, row] * 2), chunk(b"tRNS", struct.pack(">H", key)))
    if len(expected) == 1:
        assert reason_of(data) == "unusable"
        data = png_of(2, 2, bits, 0, bytes([0, row, row] * 2), chunk(b"tRNS", struct.pack(">H", key)))
        expected = expected * 2
    assert decode(data)[0].tolist() == expected


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_shows_white(bits: int) -> None:
    width = bits // 8
    row = b"".join(value.to_bytes(width) for value in (10, 20, 30, 10, 20, 31))
    key = struct.pack(">HHH", 10, 20, 30)
    pixels = decode(png_of(2, 2, bits, 2, (b"\0" + row) * 2, chunk(b"tRNS", key)))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    if bits == 8:
        assert pixels[0, 1].tolist() == [10, 20, 31]


def test_sixteen_bit_grey_is_scaled() -> None:
    row = struct.pack(">4H", 0, 256, 32768, 65535)
    assert decode(png_of(4, 2, 16, 0, (b"\0" + row) * 2))[0].tolist() == [0, 1, 128, 255]


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(np.eye(9, dtype=bool))
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.eye(9, dtype=np.uint8) * 255)


def test_cmyk_jpeg_becomes_rgb() -> None:
    data = encoded(photo().convert("CMYK"), "JPEG", quality=95)
    with Image.open(BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decode(data) - expected).max() <= 2


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(format_: str) -> None:
    frames = [Image.new("RGB", (20, 30), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], lossless=True)
    assert (decode(data) == [255, 0, 0]).all()


def test_a_jpeg_is_decoded_at_the_smallest_scale_that_serves() -> None:
    data = encoded(photo(800, 600), "JPEG")
    assert decode(data, min_side=28).shape == (100, 75, 3)
    assert decode(data, min_side=64).shape == (200, 150, 3)
    assert decode(data, min_side=400).shape == (800, 600, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_a_large_png_comes_in_strips(mode: str) -> None:
    image = photo(1_900, 1_300)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert(mode)
    data = encoded(image, "PNG", compress_level=1)
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    expected = opaque.convert("L" if mode == "LA" else "RGB")
    assert np.abs(decode(data).astype(int) - np.asarray(expected)).max() <= 1

    limits = ImageLimits(max_whole_pixels=2_400_000)
    smaller = decode_image(data, limits, min_side=30)
    assert smaller.shape[:2] == (91, 62)
    assert np.abs(smaller.astype(int) - np.asarray(expected.reduce(21))).max() <= 2


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_unsupported(format_: str) -> None:
    assert reason_of(encoded(photo(), format_)) == "unsupported_format"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        ("a path", "wrong_type"),
        (7, "wrong_type"),
        (bytearray(b"\xff\xd8\xff"), "wrong_type"),
        (b"\x89PNG", "unsupported_format"),
        (SIGNATURE, "truncated"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (b"RIFF\xff\0\0\0WEBPVP8 ", "truncated"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "truncated"),
    ],
)
def test_cells_that_are_no_image(cell: Any, reason: str) -> None:
    assert reason_of(cell) == reason


def test_an_image_of_one_pixel_height_is_unusable() -> None:
    assert reason_of(encoded(Image.new("L", (40, 1)), "PNG")) == "unusable"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_every_cut_is_truncated(format_: str) -> None:
    data = encoded(photo(), format_)
    cuts = range(20, len(data) - 1, max(1, len(data) // 60))
    assert {reason_of(data[:cut]) for cut in cuts} == {"truncated"}


def test_image_data_that_stops_inside_intact_chunks_is_truncated() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
    for rows in (chunk(b"IDAT", zlib.compress(bytes(29 * 28))[:12]), b""):
        assert reason_of(SIGNATURE + header + rows + chunk(b"IEND", b"")) == "truncated"


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(encoded(photo(), "PNG"))
    data[len(data) // 2] ^= 1
    assert reason_of(bytes(data)) == "undecodable"


BROKEN_PNG: dict[str, Callable[[], bytes]] = {
    "two headers": lambda: png_of(4, 4, 8, 0, bytes(20), chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0))),
    "no header": lambda: SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
    "no palette": lambda: png_of(4, 4, 8, 3, bytes(20)),
    "bad colour type": lambda: png_of(4, 4, 8, 5, bytes(20)),
    "zero width": lambda: png_of(0, 4, 8, 0, bytes(4)),
    "short key": lambda: png_of(4, 4, 8, 2, bytes(52), chunk(b"tRNS", b"\0\1")),
}


@pytest.mark.parametrize("make", BROKEN_PNG.values(), ids=BROKEN_PNG)
def test_broken_pngs_are_undecodable(make: Callable[[], bytes]) -> None:
    assert reason_of(make()) == "undecodable"


@pytest.mark.parametrize("frame_type", [0xC3, 0xC9, 0xCA, 0xC7])
def test_jpegs_that_are_not_dct_huffman_never_reach_the_codec(frame_type: int) -> None:
    data = encoded(photo(400, 400), "JPEG")
    assert reason_of(data.replace(b"\xff\xc0", bytes([0xFF, frame_type]), 1)) == "unsupported_format"
