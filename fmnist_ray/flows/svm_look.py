"""Looks inside a fitted SVM, drawn from its training rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.row_images import read_images
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.decisions.heads import class_scores
from fmnist_ray.decisions.margins import are_support_vectors, true_margins
from fmnist_ray.decisions.pairwise import pairwise_labels
from fmnist_ray.flows.svm_data import SvmRows
from fmnist_ray.heads.plane import feature_plane
from fmnist_ray.heads.svm import SvmHead
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import Labels
from fmnist_ray.reports.svm_page import SvmLook, svm_page
from fmnist_ray.store import Store

_ROWS = 10_000
_POINTS = 1_000
_SIDE = 96
_PICTURES = 7
"""Support vectors that are shown of each class."""


def write_look(store: Store, rows: SvmRows, head: SvmHead, labels: Labels, *, kind: str) -> str:
    """Write `svm.html` and `svm.json` on some 10,000 training rows, chosen at random, and return the page's URI."""
    chosen = np.sort(np.random.default_rng(0).permutation(rows.train)[:_ROWS])
    loaded = rows.load(chosen)
    scores = head.scores(loaded.features)
    pairwise, num_labels = kind == "rbf", len(labels)
    margins = true_margins(class_scores(scores, num_labels, pairwise=pairwise), loaded.labels)
    supports = are_support_vectors(scores, loaded.labels, num_labels, pairwise=pairwise)
    plane = feature_plane(head, loaded.features, side=_SIDE)
    on_plane = head.scores(plane.grid)
    regions = pairwise_labels(on_plane, num_labels) if pairwise else on_plane.argmax(axis=1)
    shown = np.random.default_rng(1).permutation(len(chosen))
    look = SvmLook(
        kind=kind,
        labels=labels,
        label_ids=loaded.labels[shown],
        margins=margins[shown],
        supports=supports[shown],
        thumbnails=_thumbnails(rows, chosen, loaded.labels, np.where(supports, margins, np.inf), num_labels),
        points=plane.points[shown][:_POINTS],
        regions=regions.reshape(_SIDE, _SIDE),
        explained=plane.explained,
    )
    content, page = svm_page(look)
    store.put("svm.json", content)
    store.put("svm.html", page)
    return f"{store.uri}/svm.html"


def _thumbnails(
    rows: SvmRows, chosen: NDArray[np.int64], labels: NDArray[np.int64], ranks: NDArray[np.float64], num_labels: int
) -> list[list[bytes | None]]:
    """Small pictures of the rows with the lowest rank of each class; none of infinite rank."""
    found = []
    for label in range(num_labels):
        of_class = np.flatnonzero((labels == label) & np.isfinite(ranks))
        hardest = chosen[of_class[np.argsort(ranks[of_class])[:_PICTURES]]]
        cells = read_images(rows.table.plan(), rows.table.places(hardest))
        found.append([thumbnail(cell, ImageLimits()) if isinstance(cell, bytes) else None for cell in cells])
    return found
