"""Augmentation: what may change, what must not, and that it is repeatable."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_ray.config.augmentation import Augmentation
from fmnist_ray.networks.augmentation import augment, background, change_background, erase, mix, relight, shift

EVERYTHING = Augmentation(shift=0.1, flip=True, rotation=10, zoom=0.1, erasing=0.5, lighting=0.2, background=0.5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 8, channels: int = 1) -> torch.Tensor:
    """A bright square off centre on black."""
    pixels = torch.zeros(count, channels, 28, 28, dtype=torch.uint8)
    pixels[:, :, 8:20, 6:14] = 200
    return pixels


@settings(max_examples=30, deadline=None)
@given(
    st.builds(
        Augmentation,
        shift=st.floats(0, 0.5),
        flip=st.booleans(),
        rotation=st.floats(0, 180),
        zoom=st.floats(0, 0.5),
        erasing=st.floats(0, 1),
        lighting=st.floats(0, 0.5),
        background=st.floats(0, 1),
    ),
    st.integers(0, 1000),
    st.sampled_from([1, 3]),
)
def test_shape_and_range_stay_and_a_seed_repeats(augmentation: Augmentation, seed: int, channels: int) -> None:
    pixels, mirrored = images(channels=channels), torch.arange(8) % 2 == 0
    changed = augment(pixels, mirrored, augmentation, generator(seed))
    assert changed.shape == pixels.shape
    assert changed.min() >= 0
    assert changed.max() <= 255.001
    assert torch.equal(changed, augment(pixels, mirrored, augmentation, generator(seed)))


def test_nothing_is_changed_without_settings() -> None:
    pixels = images()
    assert torch.equal(augment(pixels, torch.ones(8, dtype=torch.bool), Augmentation(), generator()), pixels)


def test_flip_turns_the_images_it_is_told_to() -> None:
    pixels = images(2)
    changed = augment(pixels, torch.tensor([True, False]), Augmentation(flip=True), generator())
    assert torch.equal(changed[0], pixels[0].flip(-1))
    assert torch.equal(changed[1], pixels[1])


def test_shift_moves_whole_pixels_within_its_reach_and_fills_with_background() -> None:
    pixels = 255 - images(200)
    changed = shift(pixels, 0.1, generator())
    assert (changed == 55).sum(dim=(1, 2, 3)).eq(12 * 8).all()
    tops = (changed == 55).any(dim=3).int().argmax(dim=2)
    assert set(tops.flatten().tolist()) == {5, 6, 7, 8, 9, 10, 11}


def test_background_is_the_tone_of_the_corners() -> None:
    pixels = images(1, channels=3)
    pixels[:, 1] += 40
    pixels[:, :, 0, 0] = 7
    assert background(pixels).flatten().tolist() == [0, 40, 0]


def test_erasing_fills_rectangles_of_the_stated_area() -> None:
    pixels = torch.full((400, 1, 28, 28), 128.0)
    changed = erase(pixels, 1.0, generator())
    shares = (changed != 128).float().mean(dim=(1, 2, 3))
    assert shares.min() > 0.01
    assert shares.max() < 0.36
    assert 0.14 < shares.mean() < 0.20
    untouched = (erase(pixels, 0.5, generator()) == 128).flatten(1).all(dim=1)
    assert 150 < untouched.sum() < 250


def test_relight_keeps_mid_grey_at_the_centre_of_its_changes() -> None:
    pixels = torch.full((2000, 1, 2, 2), 127.5)
    changed = relight(pixels, 0.2, generator())
    assert changed.mean().item() == pytest.approx(127.5, abs=3)
    assert changed.max() - changed.min() == pytest.approx(2 * 0.2 * 255, abs=2)


def test_change_background_leaves_the_product() -> None:
    changed = change_background(images(50), 1.0, generator())
    assert (changed[:, :, 8:20, 6:14] == 200).all()
    assert len(set(changed[:, 0, 0, 0].tolist())) > 20


def test_mixup_keeps_most_of_the_own_image() -> None:
    pixels = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 4, 4)
    mixed, partner, share = mix(pixels, Augmentation(mixup=0.4), generator(1))
    assert 0.5 <= share <= 1
    torch.testing.assert_close(mixed, share * pixels + (1 - share) * pixels[partner])


def test_cutmix_share_is_the_area_that_is_left() -> None:
    pixels = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 1, 28, 28)
    for seed in range(20):
        mixed, partner, share = mix(pixels, Augmentation(cutmix=1.0), generator(seed))
        moved = partner != torch.arange(64)
        kept = (mixed == pixels).float().mean(dim=(1, 2, 3))[moved]
        torch.testing.assert_close(kept, torch.full_like(kept, share))


def test_without_mixing_labels_stay() -> None:
    pixels = images()
    mixed, _, share = mix(pixels, EVERYTHING, generator())
    assert share == 1.0
    assert mixed is pixels
