"""Preparation: what fits is left alone, everything else keeps its proportions, and no cell is lost."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch, prepare_pixels
from fmnist_ray.images.thumbnail import thumbnail

RANDOM = np.random.default_rng(7)
GREY = Preparation(size=28, channels=1)
RGB = Preparation(size=28, channels=3)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def test_an_image_of_the_right_shape_is_untouched() -> None:
    grey, colour = noise(28, 28), noise(28, 28, 3)
    np.testing.assert_array_equal(prepare_pixels(grey, GREY), grey[None])
    np.testing.assert_array_equal(prepare_pixels(colour, RGB), colour.transpose(2, 0, 1))


def test_fashion_mnist_keeps_every_bit_through_png() -> None:
    images = noise(40, 28, 28)
    batch = prepare_batch([encode_png(pixels) for pixels in images], GREY, ImageLimits())
    np.testing.assert_array_equal(batch.pixels[:, 0], images)


def test_colour_becomes_luma() -> None:
    pixels = np.zeros((28, 28, 3), np.uint8)
    pixels[0, :3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert prepare_pixels(pixels, GREY)[0, 0, :4].tolist() == [76, 150, 29, 0]


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise(28, 28)
    np.testing.assert_array_equal(prepare_pixels(grey, RGB), np.stack([grey] * 3))


def test_proportions_are_kept_and_the_rest_is_background() -> None:
    pixels = np.full((100, 50, 3), (200, 180, 160), np.uint8)
    pixels[20:80, 10:40] = 0
    prepared = prepare_pixels(pixels, RGB)
    background = (prepared == np.array([200, 180, 160])[:, None, None]).all(axis=0)
    assert background[:, :7].all()
    assert background[:, -7:].all()
    garment = (prepared < 100).all(axis=0)
    assert garment.any(axis=1).sum() in (16, 17, 18)
    assert garment.any(axis=0).sum() in (8, 9)


def test_shrinking_averages_over_the_area() -> None:
    checks = np.indices((280, 280)).sum(axis=0) % 2 * np.uint8(255)
    assert np.abs(prepare_pixels(checks.astype(np.uint8), GREY).astype(int) - 127).max() <= 2


@given(height=st.integers(2, 300), width=st.integers(2, 300), colour=st.booleans(), channels=st.sampled_from([1, 3]))
def test_any_shape_becomes_the_models(height: int, width: int, colour: bool, channels: int) -> None:
    pixels = np.full((height, width, 3) if colour else (height, width), 90, np.uint8)
    prepared = prepare_pixels(pixels, Preparation(size=32, channels=channels))
    assert prepared.shape == (channels, 32, 32)
    assert prepared.dtype == np.uint8
    assert np.unique(prepared).tolist() == [90]


@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2), (2, 2), (29, 28), (28, 27, 3)])
def test_odd_shapes_are_prepared(shape: tuple[int, ...]) -> None:
    assert prepare_pixels(noise(*shape), GREY).shape == (1, 28, 28)


CELLS: dict[object, bool] = {
    encode_png(noise(28, 28)): True,
    encode_png(noise(5, 40, 3)): True,
    None: False,
    b"": False,
    b"no image": False,
    "text": False,
    encode_png(noise(28, 28))[:-9]: False,
    encode_png(noise(1, 28)): False,
}


@given(st.lists(st.sampled_from(list(CELLS))))
def test_every_cell_ends_up_in_exactly_one_place(cells: list[object]) -> None:
    batch = prepare_batch(cells, GREY, ImageLimits())
    assert batch.positions.dtype == np.int64
    assert batch.positions.tolist() == [n for n, cell in enumerate(cells) if CELLS[cell]]
    assert [reject.position for reject in batch.rejects] == [n for n, cell in enumerate(cells) if not CELLS[cell]]
    assert batch.pixels.shape == (len(batch.positions), 1, 28, 28)
    for row, position in enumerate(batch.positions):
        alone = prepare_batch([cells[position]], GREY, ImageLimits())
        np.testing.assert_array_equal(batch.pixels[row], alone.pixels[0])


def test_a_thumbnail_is_small_and_keeps_its_colour() -> None:
    data = thumbnail(encode_png(np.full((300, 200, 3), (10, 200, 30), np.uint8)), ImageLimits())
    assert data is not None
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size, image.getpixel((5, 5))) == ("PNG", (64, 96), (10, 200, 30))


def test_a_thumbnail_is_never_enlarged() -> None:
    pixels = noise(28, 28)
    data = thumbnail(encode_png(pixels), ImageLimits())
    assert data is not None
    with Image.open(BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("data", [b"", b"broken", encode_png(noise(30, 30))[:60]])
def test_what_does_not_decode_has_no_thumbnail(data: bytes) -> None:
    assert thumbnail(data, ImageLimits()) is None
