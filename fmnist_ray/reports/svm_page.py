"""Looks inside an SVM: `svm.json`, and a page that draws the same numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.labels import Labels
from fmnist_ray.reports.charts import class_colour
from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.page import render

_BINS = 40
_DRAWN = 95
"""Per cent of the margins that the histogram's axis holds; the others are drawn at its ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmLook:
    """What is looked at: some training rows, how the SVM sees them, and a plane through their features."""

    kind: str
    labels: Labels
    label_ids: NDArray[np.int64]
    """[N], of the rows"""
    margins: NDArray[np.float64]
    """[N]: score of the own class above that of the best other"""
    supports: NDArray[np.bool_]
    """[N]: whether the row holds the boundary"""
    thumbnails: list[list[bytes | None]]
    """By class, a few of its support vectors as PNG, those with the lowest margins first"""
    points: NDArray[np.float64]
    """[M, 2] in 0..1: the first M rows on the plane"""
    regions: NDArray[np.int64]
    """[side, side]: the SVM's label at each place of the plane, from below"""
    explained: float
    """Share of the features' variance that the plane holds, in 0..1."""


def svm_page(look: SvmLook) -> tuple[bytes, bytes]:
    """`svm.json` and `svm.html`."""
    reach = float(np.percentile(np.abs(look.margins), _DRAWN))
    edges = np.linspace(-reach, reach, _BINS + 1)
    clipped = look.margins.clip(-reach, reach)
    counts, wrong = (np.histogram(values, edges)[0].tolist() for values in (clipped, clipped[look.margins < 0]))
    content: dict[str, Any] = {
        "kind": look.kind,
        "num_rows": len(look.margins),
        "num_support_vectors": int(look.supports.sum()),
        "num_wrong": int((look.margins < 0).sum()),
        "margins": {"bin_edges": edges.tolist(), "num_rows": counts, "num_wrong": wrong},
        "classes": [
            {
                "label": label,
                "num_rows": int((look.label_ids == number).sum()),
                "num_support_vectors": int((look.supports & (look.label_ids == number)).sum()),
                "mean_margin": _mean(look.margins[look.label_ids == number]),
            }
            for number, label in enumerate(look.labels)
        ],
        "plane": {"explained": look.explained, "regions": look.regions.tolist()},
    }
    html = render("svm.html.j2", look=content, pictures=_pictures(look), plane=_drawn_plane(look))
    return json.dumps(content, indent=1).encode() + b"\n", html


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _pictures(look: SvmLook) -> list[list[Picture]]:
    return [[shown for data in group if (shown := embedded_picture(data))] for group in look.thumbnails]


def _drawn_plane(look: SvmLook) -> dict[str, Any]:
    """Strips of one colour for the regions, and a dot for each row, in a box of 100 x 100 that grows downwards."""
    side, num_labels = len(look.regions), len(look.labels)
    unit = 100 / side
    strips = []
    for line, labels in enumerate(look.regions):
        ends = [*(np.flatnonzero(np.diff(labels)) + 1).tolist(), side]
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            place = {"x": start * unit, "y": 100 - (line + 1) * unit, "width": (end - start) * unit}
            strips.append({**place, "colour": class_colour(int(labels[start]), num_labels)})
    dots = [
        {"x": 100 * x, "y": 100 - 100 * y, "colour": class_colour(int(label), num_labels), "label": look.labels[label]}
        for (x, y), label in zip(look.points, look.label_ids, strict=False)
        if 0 <= x <= 1 and 0 <= y <= 1
    ]
    legend = [{"label": label, "colour": class_colour(number, num_labels)} for number, label in enumerate(look.labels)]
    return {"unit": unit, "strips": strips, "dots": dots, "legend": legend}
