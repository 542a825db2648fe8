"""What images may be, and what the model wants them to become."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from fmnist_ray.errors import SettingError

PREPARATION_VERSION = 2
"""Raised whenever `images/` turns the same bytes into other pixels. Part of every plan id."""

Style = Literal["plain", "fashion-mnist"]
STYLES = ("plain", "fashion-mnist")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What is decoded at all. A catalogue is not trusted: the header is read and checked before any pixel.

    The defaults pass every photo of a shop and stop decompression bombs (a 242 kB PNG of 16,000 x 16,000 pixels
    took 1.5 GB in OpenCV, see CVE lists of image decoders).
    """

    max_bytes: int = 20_000_000
    """Largest encoded image, in bytes."""
    max_pixels: int = 50_000_000
    """Largest width x height, in pixels."""
    max_whole_pixels: int = 16_000_000
    """Largest width x height that is held whole: larger PNGs are averaged down as they come, larger WebPs, which come
    in one piece, are rejected. JPEGs are decoded at a scale whatever their size."""
    max_side: int = 20_000
    """Longest width or height, in pixels."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise SettingError(f"{field.name} is {value}; it must be at least 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How decoded pixels become model input. Travels in the bundle, so that training, batch and endpoint agree."""

    size: int = 28
    """Height and width of the model input, in pixels."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    style: Style = "plain"
    """What a photo is made to look like: `plain` as it is; `fashion-mnist` its product alone, bright on black."""
    version: int = PREPARATION_VERSION
    """The version of `images/` that this was written for."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 1024:
            raise SettingError(f"An image size of {self.size} pixels is outside 8..1024.")
        if self.channels not in (1, 3):
            raise SettingError(f"An input of {self.channels} channels was asked for; allowed are 1 (grey) and 3 (RGB).")
        if self.style not in STYLES:
            raise SettingError(f"A style {self.style} was asked for; allowed are {' and '.join(STYLES)}.")
        if self.style == "fashion-mnist" and self.channels != 1:
            raise SettingError("The style fashion-mnist is grey: use it with 1 channel, or the style plain with 3.")
        if self.version != PREPARATION_VERSION:
            raise SettingError(
                f"This bundle was made for preparation version {self.version}, this program has version "
                f"{PREPARATION_VERSION}: use the fmnist-ray it was made with, or train it anew."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preparation:
        """What `to_dict` gave. Version 1 had no styles; those of its bundles that have the input of Fashion-MNIST take
        its style, which changes nothing for images of that size."""
        if values.get("version") == 1:
            of_fashion_mnist = values.get("size") == 28 and values.get("channels") == 1
            values = {**values, "style": "fashion-mnist" if of_fashion_mnist else "plain", "version": 2}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)
