"""Corruptions: seeded, of the right kind, and worse with severity."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.images.corruptions import CORRUPTIONS, corrupt, warp
from fmnist_ray.images.prepare import prepare_batch

FASHION_MNIST_C = 15
GRADED = [name for name, corruption in CORRUPTIONS.items() if corruption.graded]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    cells = pq.read_table(sample_catalogue_path())["image"].slice(0, 60).to_pylist()
    return prepare_batch(cells, Preparation(), ImageLimits()).pixels


def test_there_are_those_of_fashion_mnist_c_and_two() -> None:
    assert len(CORRUPTIONS) == FASHION_MNIST_C + 2
    assert len(GRADED) == 12


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(60, 1, 28, 28), (5, 3, 40, 32)], ids=["grey", "colour"])
def test_same_seed_same_images(name: str, shape: tuple[int, ...]) -> None:
    if "turn" in name and shape[2] != shape[3]:
        shape = (5, 3, 32, 32)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    first = corrupt(images, name, 3, seed=5)
    assert first.shape == shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, corrupt(images, name, 3, seed=5))
    assert (first != images).mean() > 0.02


@pytest.mark.parametrize("name", GRADED)
def test_severity_grades(name: str, pixels: np.ndarray) -> None:
    distances = [np.abs(corrupt(pixels, name, severity).astype(int) - pixels).mean() for severity in range(1, 6)]
    assert distances == sorted(distances)
    assert distances[-1] > 1.3 * distances[0] > 0


def test_turns_and_flips_are_what_they_say(pixels: np.ndarray) -> None:
    right = corrupt(pixels, "turn_right", 1)
    np.testing.assert_array_equal(right[0, 0, :, -1], pixels[0, 0, 0])  # the top row becomes the right column
    np.testing.assert_array_equal(corrupt(right, "turn_left", 1), pixels)
    np.testing.assert_array_equal(corrupt(pixels, "flip_left_right", 1), pixels[..., ::-1])
    np.testing.assert_array_equal(corrupt(pixels, "flip_up_down", 1), pixels[..., ::-1, :])
    np.testing.assert_array_equal(corrupt(pixels, "inverse", 1), 255 - pixels)


def test_shot_noise_keeps_the_mean(pixels: np.ndarray) -> None:
    dim = pixels // 3  # far from 255, where noise is cut off
    assert corrupt(dim, "shot_noise", 2).mean() == pytest.approx(dim.mean(), rel=0.01)


def test_a_warp_shows_the_background_outside() -> None:
    images = np.full((1, 1, 28, 28), 0.25, np.float32)
    images[0, 0, 10:18, 10:18] = 1
    shrunk = warp(images, np.eye(2) * 2)
    assert shrunk[0, 0, 0, 0] == 0.25
    assert (shrunk > 0.9).sum() == 16  # half the side
    np.testing.assert_allclose(warp(images, np.eye(2)), images)


@pytest.mark.parametrize("severity", [0, 6])
def test_severities_are_five(severity: int, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"outside 1\.\.5"):
        corrupt(pixels, "rotate", severity)
