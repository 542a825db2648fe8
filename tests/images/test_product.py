"""A product photo becomes what Fashion-MNIST would show: whatever the ground, the product bright on black."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fmnist_ray.bundle.classifier import load_bundle
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.errors import SettingError
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch, prepare_pixels
from fmnist_ray.images.product import find_product, like_fashion_mnist

STYLE = Preparation(style="fashion-mnist")
GROUNDS = {"white": (253, 253, 253), "grey": (150, 150, 150), "red": (180, 40, 50), "wood": (200, 160, 110)}


def photo(garment: np.ndarray, ground: tuple[int, int, int], *, height: int = 240, width: int = 200) -> np.ndarray:
    """A dark blue garment (bool [H, W]), a third of the photo's height, off its centre, on noisy ground."""
    random = np.random.default_rng(3)
    pixels = np.clip(random.normal(0, 4, (height, width, 3)) + ground, 0, 255)
    shape = np.repeat(np.repeat(garment, 3, axis=0), 3, axis=1)
    top, left = height // 2, width // 3
    pixels[top : top + shape.shape[0], left : left + shape.shape[1]][shape] = (30, 40, 80)
    return pixels.astype(np.uint8)


def trousers() -> np.ndarray:
    shape = np.ones((28, 16), bool)
    shape[8:, 6:10] = False
    return shape


@pytest.mark.parametrize("ground", GROUNDS)
def test_the_product_alone_is_bright_on_black_and_fills_the_height(ground: str) -> None:
    prepared = like_fashion_mnist(photo(trousers(), GROUNDS[ground]), 28)
    wanted = np.zeros((28, 28), bool)
    wanted[:, 6:22] = trousers()
    assert ((prepared > 100) == wanted).mean() > 0.97
    assert np.median(prepared[wanted]) == pytest.approx(255 - (0.299 * 30 + 0.587 * 40 + 0.114 * 80), abs=3)
    assert (prepared[:, :4] == 0).all()
    assert (prepared[:, -4:] == 0).all()


def test_where_the_ground_is_dark_the_polarity_stays() -> None:
    pixels = 255 - photo(trousers(), (253, 253, 253))
    assert find_product(pixels, 28).bright_on_dark
    assert np.median(like_fashion_mnist(pixels, 28)[:, 7:11]) > 170


def test_fashion_mnist_itself_is_left_alone() -> None:
    images = load_split("test")[0][:50]
    np.testing.assert_array_equal([prepare_pixels(image, STYLE)[0] for image in images], images)


@pytest.mark.parametrize("negated", [False, True])
def test_fashion_mnist_enlarged_is_still_recognised(negated: bool) -> None:
    """In either polarity; the shipped bundle gets 94.5 % of the originals right."""
    images, labels = (part[:300] for part in load_split("test"))
    large = [Image.fromarray(255 - image if negated else image).resize((112, 112)).convert("RGB") for image in images]
    cells = [encode_png(np.asarray(image)) for image in large]
    answers = load_bundle("default", runtime="cpu").answer(cells)
    assert (answers.label_ids == labels).mean() > 0.88


def test_a_photo_is_turned_upright_first() -> None:
    upright, exif = Image.fromarray(photo(trousers(), GROUNDS["wood"])), Image.Exif()
    exif[0x0112] = 6
    cells = []
    for image, options in ((upright, {}), (upright.rotate(90, expand=True), {"exif": exif})):
        sink = BytesIO()
        image.save(sink, "JPEG", quality=95, **options)
        cells.append(sink.getvalue())
    first, second = prepare_batch(cells, STYLE, ImageLimits()).pixels.astype(int)
    assert np.abs(first - second).mean() < 5


@given(
    height=st.integers(2, 200),
    width=st.integers(2, 200),
    colour=st.booleans(),
    noise=st.booleans(),
    seed=st.integers(0),
)
def test_any_photo_becomes_the_models_input(height: int, width: int, colour: bool, noise: bool, seed: int) -> None:
    shape = (height, width, 3) if colour else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256 if noise else 1, shape, dtype=np.uint8)
    prepared = prepare_pixels(pixels, STYLE)
    assert prepared.shape == (1, 28, 28)
    assert prepared.dtype == np.uint8


def test_evenness_tells_a_studio_from_a_carpet() -> None:
    even = photo(trousers(), GROUNDS["white"])
    carpet = np.random.default_rng(0).integers(0, 256, even.shape, dtype=np.uint8)
    assert find_product(even, 28).evenness > 0.95
    assert find_product(carpet, 28).evenness < 0.5


def test_bundles_from_before_there_were_styles() -> None:
    old = {"size": 28, "channels": 1, "version": 1}
    assert Preparation.from_dict(old) == STYLE
    assert Preparation.from_dict({**old, "channels": 3}) == Preparation(channels=3)
    assert Preparation.from_dict(STYLE.to_dict()) == STYLE


@pytest.mark.parametrize("values", [{"style": "vogue"}, {"style": "fashion-mnist", "channels": 3}, {"version": 3}])
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Preparation(**values)  # type: ignore[arg-type]
