"""Images that want to hurt: bombs, mutants, and a corpus of files that broke other decoders."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import ImageRejected
from fmnist_ray.images.decode import decode_image
from fmnist_ray.images.png import MAGIC
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.schema import Reason

LIMITS = ImageLimits()
SHARED = Path(os.environ.get("FMNIST_RAY_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, *, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))


def zeros(num_mb: int) -> bytes:
    """A zlib stream that inflates to so many MB of zeros (and has a wrong checksum)."""
    packer = zlib.compressobj()
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + first[2:] * (num_mb - 1) + packer.flush()


def png(*chunks: bytes) -> bytes:
    return MAGIC + b"".join(chunks) + chunk(b"IEND", b"")


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    sink = BytesIO()
    image.save(sink, format_, **options)
    return sink.getvalue()


def webp(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def many_scans() -> bytes:
    """A valid progressive JPEG whose last scan is repeated."""
    data = encoded(Image.effect_mandelbrot((64, 64), (-2, -2, 2, 2), 10), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 300 + data[-2:]


def animated_webp(width: int, height: int) -> bytes:
    """A small valid animation whose header then claims a canvas of `width` x `height`."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    return data[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + data[30:]


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    jpeg = encoded(Image.new("L", (16, 16)), "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    return {
        "PNG of 16,000 x 16,000": png(header(16_000, 16_000), chunk(b"IDAT", zeros(245))),
        "PNG of 40,000 x 3": png(header(40_000, 3), chunk(b"IDAT", zeros(1))),
        "WebP canvas of 16,384 x 16,384": webp(b"VP8X", struct.pack("<I", 2) + b"\xff\x3f\0\xff\x3f\0" + bytes(20)),
        "lossless WebP of 16,384 x 16,384": webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(20)),
        "WebP of 16,383 x 16,383": webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(20)),
        "animated WebP of 8,000 x 7,000": animated_webp(8_000, 7_000),
        "JPEG header of 65,500 x 65,500": jpeg[:size] + struct.pack(">HH", 65_500, 65_500) + jpeg[size + 4 :],
        "JPEG of 300 scans": many_scans(),
        "20 MB of anything": MAGIC + bytes(20_000_001),
    }


def test_bombs_are_too_large(bombs: dict[str, bytes]) -> None:
    for name, data in bombs.items():
        with pytest.raises(ImageRejected) as caught:
            decode_image(data, LIMITS, min_side=28)
        assert caught.value.reason == Reason.TOO_LARGE, name


def test_bombs_cost_no_memory(bombs: dict[str, bytes], tmp_path: Path) -> None:
    """Peak resident memory of a worker's classifier that is given the bombs, and text, profile and image data that
    inflate to more than the image needs."""
    inflating = zeros(200)
    small = [header(28, 28), chunk(b"IDAT", zlib.compress(bytes(28 * 29)))]
    harmless = [
        png(small[0], chunk(b"zTXt", b"key\0\0" + inflating), small[1]),
        png(small[0], chunk(b"iCCP", b"name\0\0" + inflating), small[1]),
        png(small[0], chunk(b"IDAT", inflating)),
    ]
    decoded, peak_mb = classified([*harmless, *bombs.values()], tmp_path)
    assert decoded == [1] * len(harmless) + [0] * len(bombs)
    assert peak_mb < 400


def test_the_largest_images_stay_within_600_mb(tmp_path: Path) -> None:
    """The largest that the limits allow, of the kinds that take most memory per pixel."""
    webp_side = math.isqrt(LIMITS.max_whole_pixels)
    transparent = Image.new("RGBA", (webp_side, webp_side), (200, 30, 30, 128))
    largest = [
        png(header(7_000, 7_000, colour=2), chunk(b"IDAT", zeros(148))),
        png(header(7_000, 7_000, colour=6), chunk(b"IDAT", zeros(197))),
        png(header(4_000, 4_000, colour=6), chunk(b"IDAT", zeros(65))),
        encoded(transparent, "WEBP", lossless=True, quality=0, method=0),
    ]
    decoded, peak_mb = classified(largest, tmp_path)
    assert decoded == [1] * len(largest)
    assert peak_mb < 600


def test_a_webp_that_is_too_large_to_be_held_whole_is_rejected() -> None:
    data = webp(b"VP8L", b"\x2f" + (4_000 | 4_000 << 14).to_bytes(4, "little") + bytes(20))
    with pytest.raises(ImageRejected, match="a WebP may have 16,000,000 pixels at most") as caught:
        decode_image(data, LIMITS, min_side=28)
    assert caught.value.reason == Reason.TOO_LARGE


def classified(cells: list[bytes], folder: Path) -> tuple[list[int], int]:
    """How many predictions each image gets, in a worker's classifier, and its peak of resident memory in MB."""
    paths = [folder / str(number) for number in range(len(cells))]
    for path, data in zip(paths, cells, strict=True):
        path.write_bytes(data)
    program = (
        "import re, sys\n"
        "from fmnist_ray.bundle.classifier import load_bundle\n"
        "classifier = load_bundle('default', runtime='cpu', num_threads=1)\n"
        "for path in sys.argv[1:]:\n"
        "    answers = classifier.answer([open(path, 'rb').read()])\n"
        "    print(len(answers.positions), end=' ')\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *decoded, peak_mb = map(int, done.stdout.split())
    return decoded, peak_mb


def test_limits_are_the_callers() -> None:
    data = encoded(Image.new("L", (40, 30)), "PNG")
    for limits in (ImageLimits(max_side=39), ImageLimits(max_pixels=1199), ImageLimits(max_bytes=len(data) - 1)):
        with pytest.raises(ImageRejected, match="too_large"):
            decode_image(data, limits, min_side=28)
    assert decode_image(data, ImageLimits(max_side=40, max_pixels=1200, max_bytes=len(data)), min_side=28).size == 1200


def survives(data: bytes) -> bool:
    """Whether `data` decodes; anything but pixels or a reason is an error of the test."""
    try:
        pixels = decode_image(data, LIMITS, min_side=28)
    except ImageRejected as error:
        reject = error
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2 or pixels.shape[2] == 3
        return True
    assert reject.reason in set(Reason)
    assert " at 0x" not in reject.detail, "an address differs between two runs of the same shard"
    assert len(reject.detail) < 300
    return False


def seeds(format_: str) -> list[bytes]:
    colour = Image.effect_mandelbrot((70, 60), (-2, -1.5, 1, 1.5), 40).convert("RGB").rotate(30, fillcolor="orange")
    with_alpha = colour.convert("RGBA")
    with_alpha.putalpha(colour.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    if format_ == "JPEG":
        return [
            encoded(colour, "JPEG"),
            encoded(
                colour, "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06"
            ),
            encoded(colour.convert("CMYK"), "JPEG"),
            encoded(colour.convert("L"), "JPEG", restart_marker_blocks=2),
        ]
    if format_ == "WEBP":
        return [
            encoded(colour, "WEBP"),
            encoded(with_alpha, "WEBP", lossless=True),
            encoded(colour, "WEBP", save_all=True, append_images=[with_alpha]),
        ]
    deep = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)
    return [
        encoded(colour.convert("L").resize((28, 28)), "PNG"),
        encoded(with_alpha, "PNG"),
        encoded(colour.quantize(16), "PNG", transparency=3),
        encoded(deep, "PNG"),
        encoded(colour, "PNG", save_all=True, append_images=[colour.rotate(90)]),
    ]


def resealed(data: bytes) -> bytes:
    """A PNG with its checksums made right again, so that mutants get past them."""
    pieces, position = [data[:8]], 8
    while position + 12 <= len(data):
        length = min(int.from_bytes(data[position : position + 4]), len(data) - position - 12)
        pieces.append(chunk(data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return b"".join(pieces)


def mutant(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    start, length = int(random.integers(4, len(data))), int(random.integers(1, 40))
    match random.integers(5):
        case 0:
            del changed[start : start + length]
        case 1:
            changed[start:start] = changed[start : start + length]
        case 2:
            changed[start : start + length] = random.bytes(length)
        case _:
            for position in random.integers(4, len(data), int(random.integers(1, 8))):
                changed[position] = random.integers(256)
    if data.startswith(MAGIC) and random.integers(2):
        return resealed(bytes(changed))
    return bytes(changed)


def mutate(format_: str, num_mutants: int) -> int:
    """Number of mutants that still decode."""
    random = np.random.default_rng(2026)
    originals = seeds(format_)
    assert all(survives(data) for data in originals)
    return sum(survives(mutant(originals[number % len(originals)], random)) for number in range(num_mutants))


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_mutants_decode_or_have_a_reason(format_: str) -> None:
    assert 10 < mutate(format_, 300) < 290


@given(st.sampled_from([MAGIC, MAGIC + header(3, 3), b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBPVP8X", b""]), st.binary())
def test_any_bytes_decode_or_have_a_reason(start: bytes, rest: bytes) -> None:
    if data := start + rest:
        assert survives(data) == (thumbnail(data, LIMITS) is not None)


@pytest.mark.long
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_many_mutants_decode_or_have_a_reason(format_: str) -> None:
    assert 300 < mutate(format_, 10_000) < 9_700


@pytest.mark.skipif(not (SHARED / "hostile-images.parquet").exists(), reason="needs the corpus of hostile images")
def test_a_corpus_of_hostile_files_is_survived() -> None:
    cells = pq.read_table(SHARED / "hostile-images.parquet")["image"].to_pylist()
    num_decoded = sum(survives(data) for data in cells)
    assert num_decoded == sum(thumbnail(data, LIMITS) is not None for data in cells)
    assert num_decoded > 150
