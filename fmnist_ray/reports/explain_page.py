"""The page that explains answers: each image with the maps of what decided."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.page import render

EXPLAIN_VERSION = 1
"""Raised whenever a key of `explain.json` changes its meaning or goes away."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """One method's map of one image, as PNG."""

    method: str
    heat: bytes = field(repr=False)
    overlay: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """A labelled row that the network sees much like an image."""

    name: str
    label: str | None
    similarity: float
    """Cosine of the angle between the two rows' features."""
    thumbnail: bytes | None = field(repr=False)
    """PNG"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One image with its answer and its maps."""

    name: str
    label: str
    true_label: str | None
    confidence: float
    likeliest: tuple[tuple[str, float], ...]
    """A few labels with their probabilities, the likeliest first."""
    picture: bytes = field(repr=False)
    maps: tuple[HeatMap, ...]
    neighbours: Sequence[Alike] = ()
    """The most alike first."""


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """The finished report."""

    content: dict[str, Any]
    pictures: dict[str, bytes] = field(repr=False)
    """PNGs by file name."""

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        encoded = json.dumps(self.content, indent=1).encode() + b"\n"
        return {**self.pictures, "explain.json": encoded, "explain.html": self.to_html()}

    def to_html(self) -> bytes:
        """One self-contained page."""
        return render("explain.html.j2", report=self.content, picture=self._picture)

    def _picture(self, name: str | None) -> Picture | None:
        return None if name is None else embedded_picture(self.pictures[name])


def explain_report(
    explained: Sequence[Explained],
    *,
    bundle_uri: str,
    bundle_digest: str,
    data_uri: str,
    program_version: str,
    filters: bytes | None,
    activations: bytes | None,
    features_uri: str | None = None,
) -> ExplainReport:
    """The report of some images; `filters` and `activations` are PNGs of the network's first
    layer, and `features_uri` is where neighbours were looked for."""
    pictures: dict[str, bytes] = {}
    entries = []
    for number, row in enumerate(explained):
        stem = f"maps/{number:03}-{_UNSAFE.sub('-', row.name)[:60]}"
        pictures[f"{stem}.png"] = row.picture
        maps = []
        for found in row.maps:
            heat, overlay = f"{stem}-{found.method}.png", f"{stem}-{found.method}-overlay.png"
            pictures |= {heat: found.heat, overlay: found.overlay}
            maps.append({"method": found.method, "heat": heat, "overlay": overlay})
        neighbours = []
        for place, alike in enumerate(row.neighbours):
            name = None if alike.thumbnail is None else f"{stem}-alike-{place}.png"
            if name is not None and alike.thumbnail is not None:
                pictures[name] = alike.thumbnail
            neighbours.append(
                {"name": alike.name, "label": alike.label, "similarity": alike.similarity, "picture": name}
            )
        entries.append(
            {
                "name": row.name,
                "label": row.label,
                "true_label": row.true_label,
                "confidence": row.confidence,
                "likeliest": [{"label": label, "probability": value} for label, value in row.likeliest],
                "picture": f"{stem}.png",
                "maps": maps,
                "neighbours": neighbours,
            }
        )
    layer = {"filters": filters, "activations": activations}
    pictures |= {f"{name}.png": data for name, data in layer.items() if data is not None}
    content = {
        "explain_version": EXPLAIN_VERSION,
        "bundle_uri": bundle_uri,
        "bundle_digest": bundle_digest,
        "data_uri": data_uri,
        "features_uri": features_uri,
        "program_version": program_version,
        "images": entries,
        "first_layer": {name: None if data is None else f"{name}.png" for name, data in layer.items()},
    }
    return ExplainReport(content, pictures)
