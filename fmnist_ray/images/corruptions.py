"""Images as bad cameras, lamps and operators give them: how much worse does a network get?

The fifteen corruptions of Fashion-MNIST-C (Weiss and Tonella, arXiv 2205.00664), written anew and seeded, since its
published files do not say which image got which, and two that product photos meet: another background, and light from
one side. Strengths follow MNIST-C (arXiv 1906.02337) and ImageNet-C (arXiv 1903.12261) where these have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""[N, channels, height, width] in 0..1."""
Change = Callable[[Images, int, np.random.Generator], Images]
"""Takes images, a severity 0..4 and a generator; the result is clipped to 0..1."""

NUM_SEVERITIES = 5


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way in which images go wrong."""

    apply: Change
    graded: bool = True
    """Whether it has severities; what has none is all or nothing."""


def corrupt(pixels: NDArray[np.uint8], name: str, severity: int, seed: int = 0) -> NDArray[np.uint8]:
    """`pixels` uint8 [N, channels, H, W] under the corruption `name` of `CORRUPTIONS` at severity 1..5.

    The same arguments give the same images. Raises `KeyError` for an unknown name and `ValueError` for a severity
    out of range.
    """
    if not 1 <= severity <= NUM_SEVERITIES:
        raise ValueError(f"Severity {severity} is outside 1..{NUM_SEVERITIES}.")
    generator = np.random.default_rng([seed, list(CORRUPTIONS).index(name), severity])
    images = pixels.astype(np.float32) / np.float32(255)
    changed = CORRUPTIONS[name].apply(images, severity - 1, generator)
    encoded: NDArray[np.uint8] = np.rint(changed.clip(0, 1) * 255).astype(np.uint8)
    return encoded


def background_of(images: Images) -> Images:
    """The median of each image's border, [N, channels, 1, 1]: on a product photo, the background."""
    border = np.concatenate([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], axis=-1)
    middle: Images = np.median(border, axis=-1)[..., None, None].astype(np.float32)
    return middle


def _shot_noise(images: Images, severity: int, generator: np.random.Generator) -> Images:
    photons = (60, 25, 12, 5, 3)[severity]
    return (generator.poisson(images * photons) / photons).astype(np.float32)


def _impulse_noise(images: Images, severity: int, generator: np.random.Generator) -> Images:
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity]
    drawn = generator.random(images.shape, np.float32)
    return np.where(drawn < share / 2, np.float32(0), np.where(drawn < share, np.float32(1), images))


def _glass_blur(images: Images, severity: int, generator: np.random.Generator) -> Images:
    """Pixels trade places with neighbours, between two passes of a small blur."""
    reach, rounds = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2))[severity]
    mixed = _blurred(images)
    num_images, _, height, width = mixed.shape
    every = np.arange(num_images)
    for _ in range(rounds):
        offsets = generator.integers(-reach, reach + 1, (height, width, 2, num_images))
        for y in range(height):
            for x in range(width):
                there_y = (y + offsets[y, x, 0]).clip(0, height - 1)
                there_x = (x + offsets[y, x, 1]).clip(0, width - 1)
                here = mixed[:, :, y, x].copy()
                mixed[:, :, y, x] = mixed[every, :, there_y, there_x]
                mixed[every, :, there_y, there_x] = here
    return _blurred(mixed)


def _blurred(images: Images) -> Images:
    """A blur of three pixels, 1-2-1 both ways."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    outer, middle = np.float32(0.25), np.float32(0.5)
    rows = outer * padded[:, :, :-2] + middle * padded[:, :, 1:-1] + outer * padded[:, :, 2:]
    blurred: Images = outer * rows[..., :-2] + middle * rows[..., 1:-1] + outer * rows[..., 2:]
    return blurred


def _motion_blur(images: Images, severity: int, generator: np.random.Generator) -> Images:
    """The mean along a line of pixels in one of four directions, drawn for each image."""
    length = (3, 4, 5, 7, 9)[severity]
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    direction = generator.integers(len(steps), size=len(images))
    moved = np.empty_like(images)
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (length, length), (length, length)), mode="edge")
    for number, (down, right) in enumerate(steps):
        chosen = padded[direction == number]
        total = np.zeros((len(chosen), *images.shape[1:]), np.float32)
        for step in range(length):
            top, left = (length + (step - length // 2) * way for way in (down, right))
            total += chosen[:, :, top : top + height, left : left + width]
        moved[direction == number] = total / length
    return moved


def _shear(images: Images, severity: int, generator: np.random.Generator) -> Images:
    slant = (0.2, 0.3, 0.4, 0.5, 0.6)[severity]
    return _either_way(images, lambda sign: np.array([[1, 0], [sign * slant, 1]]), generator)


def _rotate(images: Images, severity: int, generator: np.random.Generator) -> Images:
    angle = np.deg2rad((10, 20, 30, 40, 50)[severity])

    def matrix(sign: int) -> NDArray[np.float64]:
        cos, sin = np.cos(angle), sign * np.sin(angle)
        return np.array([[cos, -sin], [sin, cos]])

    return _either_way(images, matrix, generator)


def _scale(images: Images, severity: int, generator: np.random.Generator) -> Images:
    return warp(images, np.eye(2) / (0.9, 0.8, 0.7, 0.6, 0.5)[severity])


def _either_way(images: Images, matrix: Callable[[int], NDArray[np.float64]], generator: np.random.Generator) -> Images:
    """A warp whose sign is drawn for each image."""
    signs = generator.choice((-1, 1), len(images))
    warped = np.empty_like(images)
    for sign in (-1, 1):
        warped[signs == sign] = warp(images[signs == sign], matrix(sign))
    return warped


def warp(images: Images, matrix: NDArray[np.float64]) -> Images:
    """Each pixel at (y, x) from the centre is read, bilinearly, at `matrix @ (y, x)`; outside lies the background."""
    height, width = images.shape[2:]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    source = np.tensordot(matrix, np.indices((height, width)) - centre, 1) + centre
    low = np.floor(source).astype(np.int64)
    weight = (source - low).astype(np.float32)
    outside = background_of(images)
    total = np.zeros_like(images)
    for down in (0, 1):
        for right in (0, 1):
            y, x = low[0] + down, low[1] + right
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            values = images[:, :, y.clip(0, height - 1), x.clip(0, width - 1)]
            share = np.abs(1 - down - weight[0]) * np.abs(1 - right - weight[1])
            total += share * np.where(inside, values, outside)
    return total


def _brightness(images: Images, severity: int, generator: np.random.Generator) -> Images:
    return images + np.float32((0.1, 0.2, 0.3, 0.4, 0.5)[severity])


def _contrast(images: Images, severity: int, generator: np.random.Generator) -> Images:
    mean = images.mean(axis=(2, 3), keepdims=True)
    changed: Images = (images - mean) * np.float32((0.4, 0.3, 0.2, 0.1, 0.05)[severity]) + mean
    return changed


def _saturate(images: Images, severity: int, generator: np.random.Generator) -> Images:
    """Colours away from their grey; grey images, which have none, away from black until they clip."""
    factor = np.float32((1.5, 2, 3, 5, 8)[severity])
    grey = images.mean(axis=1, keepdims=True) if images.shape[1] == 3 else np.float32(0)
    saturated: Images = grey + (images - grey) * factor
    return saturated


def _background(images: Images, severity: int, generator: np.random.Generator) -> Images:
    """Another grey behind the product, as far from the old one as the severity says."""
    shift = np.float32((0.1, 0.2, 0.3, 0.4, 0.5)[severity])
    old = background_of(images)
    new = np.where(old < 0.5, old + shift, old - shift)
    share_behind = (1 - np.abs(images - old) / 0.1).clip(0, 1)
    changed: Images = images + share_behind * (new - old)
    return changed


def _lighting(images: Images, severity: int, generator: np.random.Generator) -> Images:
    """Light from one side, drawn for each image: that side is brighter and the other darker by the severity's share."""
    reach = np.float32((0.2, 0.35, 0.5, 0.65, 0.8)[severity])
    height, width = images.shape[2:]
    down, right = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    ramps = np.stack([sign * np.broadcast_to(ramp, (height, width)) for ramp in (down, right) for sign in (-1, 1)])
    chosen = generator.integers(len(ramps), size=len(images))
    return images * (1 + reach * ramps[chosen].astype(np.float32))[:, None]


CORRUPTIONS: dict[str, Corruption] = {
    "shot_noise": Corruption(_shot_noise),
    "impulse_noise": Corruption(_impulse_noise),
    "glass_blur": Corruption(_glass_blur),
    "motion_blur": Corruption(_motion_blur),
    "shear": Corruption(_shear),
    "scale": Corruption(_scale),
    "rotate": Corruption(_rotate),
    "brightness": Corruption(_brightness),
    "contrast": Corruption(_contrast),
    "saturate": Corruption(_saturate),
    "inverse": Corruption(lambda images, severity, generator: 1 - images, graded=False),
    "flip_left_right": Corruption(lambda images, severity, generator: images[..., ::-1], graded=False),
    "flip_up_down": Corruption(lambda images, severity, generator: images[..., ::-1, :], graded=False),
    "turn_right": Corruption(lambda images, severity, generator: np.rot90(images, -1, (2, 3)), graded=False),
    "turn_left": Corruption(lambda images, severity, generator: np.rot90(images, 1, (2, 3)), graded=False),
    "background": Corruption(_background),
    "lighting": Corruption(_lighting),
}
"""By name. The last two are not in Fashion-MNIST-C."""
