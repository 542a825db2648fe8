"""The page that describes a data set: classes, pixels, a map, near duplicates, likely label errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.labels import Labels
from fmnist_ray.reports.duplicates import Pair
from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.label_errors import Suspect
from fmnist_ray.reports.page import render

DESCRIBE_VERSION = 1
"""Raised whenever a key of `describe.json` changes its meaning or goes away."""
NUM_SHOWN = 24
"""Suspects, and pairs of near duplicates, on the page."""

_MAP_POINTS = 300
"""Of each class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeFacts:
    """What was described."""

    data_uri: str
    against_uri: str | None
    bundle_uri: str
    bundle_digest: str
    num_rows: int
    """In the data set."""
    num_looked_at: int
    num_rejects: int
    similarity: float
    elapsed_s: float
    program_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """A row that the page may show."""

    name: str
    label: str | None
    png: bytes = field(repr=False)

    @property
    def picture(self) -> Picture | None:
        """As the page embeds it."""
        return embedded_picture(self.png)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the picture."""
        return {"name": self.name, "label": self.label}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassContent:
    """One class of the data set."""

    label: str
    num_rows: int
    brightness: float
    """Mean pixel value, 0..255."""
    contrast: float
    """Standard deviation of the pixel values."""
    examples: tuple[ShownRow, ...]
    mean_image: bytes = field(repr=False)
    """PNG of the mean of its images."""
    map_points: NDArray[np.float64] = field(repr=False)
    """Places on the map, [n, 2] in 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateContent:
    """Near duplicates within a data set or across two."""

    num_pairs: int
    num_rows: int
    """Rows of the data set that have one."""
    num_contradicting: int
    """Pairs whose labels differ."""
    pairs: tuple[tuple[Pair, ShownRow, ShownRow], ...]
    """Those that are shown."""


@dataclass(frozen=True, slots=True)
class DescribeReport:
    """The finished report."""

    content: dict[str, Any]

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        encoded = json.dumps(self.content, indent=1, default=_plain).encode() + b"\n"
        return {"describe.json": encoded, "describe.html": render("describe.html.j2", report=self.content)}


def describe_report(
    facts: DescribeFacts,
    classes: Sequence[ClassContent],
    pixel_counts: NDArray[np.int64],
    explained: tuple[float, float],
    within: DuplicateContent,
    across: DuplicateContent | None,
    suspects: Sequence[tuple[Suspect, ShownRow]],
    num_suspects: int | None,
    labels: Labels,
) -> DescribeReport:
    """The report from its parts. `pixel_counts` [256] counts pixel values; `explained` says how much of the features'
    variance the map shows; `num_suspects` is None where labels could not be judged."""
    total = sum(entry.num_rows for entry in classes)
    return DescribeReport(
        {
            "describe_version": DESCRIBE_VERSION,
            "facts": dataclasses.asdict(facts),
            "classes": [_class(entry, total) for entry in classes],
            "pixel_counts": pixel_counts.reshape(32, 8).sum(axis=1).tolist(),
            "pixel_edges": list(range(0, 257, 8)),
            "map_explained": list(explained),
            "within": _duplicates(within, facts.num_looked_at),
            "across": None if across is None else _duplicates(across, facts.num_looked_at),
            "num_suspects": num_suspects,
            "suspects": [
                {
                    "row": row,
                    "label": labels[suspect.given_id],
                    "likely_label": labels[suspect.likely_id],
                    "probability": suspect.given_probability,
                    "likely_probability": suspect.likely_probability,
                }
                for suspect, row in suspects
            ],
        }
    )


def _class(entry: ClassContent, total: int) -> dict[str, Any]:
    points = entry.map_points[:_MAP_POINTS]
    path = "".join(f"M{100 * x:.1f} {100 * (1 - y):.1f}h0" for x, y in points.tolist())
    return {
        "label": entry.label,
        "num_rows": entry.num_rows,
        "share": entry.num_rows / total if total else None,
        "brightness": entry.brightness,
        "contrast": entry.contrast,
        "examples": list(entry.examples),
        "mean_image": ShownRow(name=f"mean of {entry.label}", label=entry.label, png=entry.mean_image),
        "map_path": path,
    }


def _duplicates(found: DuplicateContent, num_rows: int) -> dict[str, Any]:
    return {
        "num_pairs": found.num_pairs,
        "num_rows": found.num_rows,
        "share": found.num_rows / num_rows if num_rows else None,
        "num_contradicting": found.num_contradicting,
        "pairs": [{"similarity": pair.similarity, "first": a, "second": b} for pair, a, b in found.pairs],
    }


def _plain(value: Any) -> Any:
    return value.to_dict()
