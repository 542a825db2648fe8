"""Random changes of training images, a whole batch at a time.

Images are [N, channels, side, side] in 0..255, uint8 or float; every function returns the same shape. All randomness
comes from the generator given, so an epoch can be repeated.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from fmnist_ray.config.augmentation import Augmentation

_NEAR = 8
"""A pixel this close to the background's tone belongs to it."""


def augment(pixels: Tensor, mirrored: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Apply every change that acts on one image; `mirrored` [N] says which images `flip` turns this time."""
    if settings.flip:
        pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
    if settings.background:
        pixels = change_background(pixels, settings.background, generator)
    if settings.rotation or settings.zoom:
        pixels = transform(pixels, settings, generator)
    elif settings.shift:
        pixels = shift(pixels, settings.shift, generator)
    if settings.lighting:
        pixels = relight(pixels, settings.lighting, generator)
    if settings.erasing:
        pixels = erase(pixels, settings.erasing, generator)
    return pixels


def background(pixels: Tensor) -> Tensor:
    """Tone of the background [N, channels, 1, 1]: the lower median of the four corners."""
    corners = pixels[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    return corners.median(dim=-1).values[:, :, None, None]


def shift(pixels: Tensor, share: float, generator: Generator) -> Tensor:
    """Move each image by whole pixels, up to `share` of the side; the background moves in."""
    count, channels, height, width = pixels.shape
    reach = max(1, round(share * width))
    down, right = _integers((2, count, 1), -reach, reach + 1, generator)
    rows, columns = _positions(height, generator) - down, _positions(width, generator) - right
    outside = _outside(rows, height)[:, None, :, None] | _outside(columns, width)[:, None, None, :]
    moved = pixels[
        _positions(count, generator)[:, None, None, None],
        _positions(channels, generator)[None, :, None, None],
        rows.clamp(0, height - 1)[:, None, :, None],
        columns.clamp(0, width - 1)[:, None, None, :],
    ]
    return torch.where(outside, background(pixels), moved)


def _outside(position: Tensor, size: int) -> Tensor:
    return (position < 0) | (position >= size)


def transform(pixels: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Rotate, scale each axis and shift each image in one bilinear step; the background moves in."""
    count = len(pixels)
    angle = _uniform(count, settings.rotation * math.pi / 180, generator)
    scale_x, scale_y = 1 + _uniform(count, settings.zoom, generator), 1 + _uniform(count, settings.zoom, generator)
    move_x, move_y = (_uniform(count, 2 * settings.shift, generator) for _ in range(2))
    cosine, sine = angle.cos(), angle.sin()
    matrix = torch.stack(
        [cosine * scale_x, -sine * scale_y, move_x, sine * scale_x, cosine * scale_y, move_y], dim=1
    ).view(count, 2, 3)
    floats, tone = pixels.float(), background(pixels).float()
    grid = torch.nn.functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(floats - tone, grid, padding_mode="zeros", align_corners=False)
    return moved + tone


def erase(pixels: Tensor, probability: float, generator: Generator) -> Tensor:
    """Fill a rectangle of 2 % to 33 % of the area, sides 1:3.3 to 3.3:1, with noise (arXiv 1708.04896)."""
    count, _, height, width = pixels.shape
    chosen = _share((count, 1), generator) < probability
    area = (0.02 + 0.31 * _share((count, 1), generator)) * height * width
    aspect = torch.exp(_uniform(count, math.log(3.3), generator))[:, None]
    high = (area * aspect).sqrt().round().clamp(1, height)
    wide = (area / aspect).sqrt().round().clamp(1, width)
    top = (_share((count, 1), generator) * (height - high + 1)).floor()
    left = (_share((count, 1), generator) * (width - wide + 1)).floor()
    rows, columns = _positions(height, generator), _positions(width, generator)
    inside_rows = (rows >= top) & (rows < top + high) & chosen
    inside_columns = (columns >= left) & (columns < left + wide)
    inside = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    noise = _integers(tuple(pixels.shape), 0, 256, generator)
    return torch.where(inside, noise.to(pixels.dtype), pixels)


def relight(pixels: Tensor, share: float, generator: Generator) -> Tensor:
    """Change contrast around mid-grey and brightness, each by up to `share`."""
    count = len(pixels)
    contrast = 1 + _uniform(count, share, generator).view(-1, 1, 1, 1)
    brightness = 255 * _uniform(count, share, generator).view(-1, 1, 1, 1)
    return ((pixels.float() - 127.5) * contrast + 127.5 + brightness).clamp(0, 255)


def change_background(pixels: Tensor, probability: float, generator: Generator) -> Tensor:
    """Give the pixels of the background's tone another tone, one per image."""
    count = len(pixels)
    chosen = _share((count, 1, 1, 1), generator) < probability
    tone = _integers((count, 1, 1, 1), 0, 256, generator).to(pixels.dtype)
    floats = pixels.float()
    near = ((floats - background(pixels).float()).abs() <= _NEAR).all(dim=1, keepdim=True)
    return torch.where(near & chosen, tone, pixels)


def mix(pixels: Tensor, settings: Augmentation, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """Blend or patch each image with a partner: the images, the partner's position [N], and the share that is left of
    the image's own label. CutMix is tried first; else mixup, where it is switched on; else nothing changes."""
    partner = torch.randperm(len(pixels), generator=generator, device=generator.device)
    if settings.cutmix and _share((), generator).item() < settings.cutmix:
        return _cutmix(pixels, partner, generator)
    if settings.mixup:
        alpha = torch.full((2,), settings.mixup, device=generator.device)
        first, second = torch._standard_gamma(alpha, generator=generator).tolist()
        share = first / max(first + second, 1e-12)
        share = max(share, 1 - share)
        floats = pixels.float()
        return share * floats + (1 - share) * floats[partner], partner, share
    return pixels, partner, 1.0


def _cutmix(pixels: Tensor, partner: Tensor, generator: Generator) -> tuple[Tensor, Tensor, float]:
    height, width = pixels.shape[-2:]
    kept, row, column = _share((3,), generator).tolist()
    high, wide = (round(side * math.sqrt(1 - kept)) for side in (height, width))
    top, left = int(row * (height - high + 1)), int(column * (width - wide + 1))
    mixed = pixels.clone()
    patch = (..., slice(top, top + high), slice(left, left + wide))
    mixed[patch] = pixels[partner][patch]
    return mixed, partner, 1 - high * wide / (height * width)


def _share(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Numbers in 0..1, where the generator lives."""
    return torch.rand(shape, generator=generator, device=generator.device)


def _uniform(count: int, reach: float, generator: Generator) -> Tensor:
    """`count` numbers in -reach..reach."""
    return (2 * _share((count,), generator) - 1) * reach


def _integers(shape: tuple[int, ...], low: int, high: int, generator: Generator) -> Tensor:
    """Whole numbers in low..high-1."""
    return torch.randint(low, high, shape, generator=generator, device=generator.device)


def _positions(count: int, generator: Generator) -> Tensor:
    return torch.arange(count, device=generator.device)
