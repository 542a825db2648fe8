"""Random changes of training images."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.config.checks import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes of training images. Zero, or False, leaves a change out; validation images are never changed."""

    shift: float = 0.0
    """Largest shift in each direction, as a share of the side; what leaves the image is filled with its background."""
    flip: bool = False
    """Mirror left and right: each image in turn, so that two epochs in a row show both sides (arXiv 2404.00498)."""
    rotation: float = 0.0
    """Largest rotation either way, in degrees."""
    zoom: float = 0.0
    """Largest change of scale either way, as a share: 0.1 draws from 0.9..1.1 per axis, as Keras does."""
    erasing: float = 0.0
    """Probability that a random rectangle of 2 % to 33 % of the image becomes noise (arXiv 1708.04896)."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that blends pairs of images (arXiv 1710.09412)."""
    cutmix: float = 0.0
    """Probability that a batch exchanges a rectangle between pairs of images (arXiv 1905.04899)."""
    lighting: float = 0.0
    """Largest change of brightness and contrast, as a share of the full range."""
    background: float = 0.0
    """Probability that background pixels become one random light or dark tone."""

    def __post_init__(self) -> None:
        for name in ("shift", "zoom", "lighting"):
            check_range(name, getattr(self, name), 0.0, 0.5)
        check_range("rotation", self.rotation, 0.0, 180.0)
        for name in ("erasing", "mixup", "cutmix", "background"):
            check_range(name, getattr(self, name), 0.0, 1.0)
