"""Pages of products that look alike: those nearest to one image, and pairs that are nearly the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.page import render

SIMILAR_VERSION = 1
"""Raised whenever a key of `similar.json` or `duplicates.json` changes its meaning or goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownProduct:
    """A row of a catalogue that a page shows."""

    product_id: str | None
    input_file: str
    input_row: int
    label: str | None
    """The catalogue's own."""
    png: bytes | None = field(repr=False)

    @property
    def picture(self) -> Picture | None:
        """As the page embeds it."""
        return embedded_picture(self.png)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the picture."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "png"}


@dataclass(frozen=True, slots=True)
class SimilarReport:
    """The rows nearest to an image. `content` holds what the JSON says."""

    content: dict[str, Any]
    page: bytes = field(repr=False)

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        return {"similar.json": _json(self.content), "similar.html": self.page}


@dataclass(frozen=True, slots=True)
class DuplicatesReport:
    """Pairs that are nearly the same. `content` holds what the JSON says."""

    content: dict[str, Any]
    page: bytes = field(repr=False)

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        return {"duplicates.json": _json(self.content), "duplicates.html": self.page}


def similar_report(
    *, query: str, picture: bytes | None, hits: Sequence[tuple[ShownProduct, float]], facts: Mapping[str, Any]
) -> SimilarReport:
    """The report of one question: rows with their cosine, the most similar first."""
    content = {
        "similar_version": SIMILAR_VERSION,
        "query": query,
        **facts,
        "hits": [{**product.to_dict(), "similarity": value} for product, value in hits],
    }
    page = render("similar.html.j2", report=content, hits=hits, picture=embedded_picture(picture))
    return SimilarReport(content, page)


def duplicates_report(
    *, pairs: Sequence[tuple[ShownProduct, ShownProduct, float]], facts: Mapping[str, Any]
) -> DuplicatesReport:
    """The report of near duplicates: pairs with the correlation of their pixels, the most similar first."""
    content = {
        "similar_version": SIMILAR_VERSION,
        **facts,
        "pairs": [{"first": a.to_dict(), "second": b.to_dict(), "similarity": value} for a, b, value in pairs],
    }
    return DuplicatesReport(content, render("duplicates.html.j2", report=content, pairs=pairs))


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
