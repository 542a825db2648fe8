"""Transparent pixels: shops show products on white, so that is what shines through."""

from __future__ import annotations

from PIL import Image


def flatten_on_white(image: Image.Image) -> Image.Image:
    """An image of mode LA or RGBA as L or RGB on a white ground; any other mode as it is."""
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = image.mode.removesuffix("A")
    ground = Image.new(opaque, image.size, "white")
    ground.paste(image.convert(opaque), mask=image.getchannel("A"))
    return ground
