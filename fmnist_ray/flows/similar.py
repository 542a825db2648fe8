"""Which rows of a catalogue look like an image: the nearest by a network's features, every row compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.catalogue.feature_rows import FeatureRows, open_features
from fmnist_ray.catalogue.feature_search import PRODUCT, search
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.similar import SimilarSettings
from fmnist_ray.errors import CatalogueError, NotFoundError, ParityError
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.reports.similar_page import ShownProduct, SimilarReport, similar_report
from fmnist_ray.store import open_store, split_uri


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarSummary:
    """An answer with its page."""

    report: SimilarReport
    report_uri: str


def similar(settings: SimilarSettings, *, on_progress: Callable[[int, int], None] | None = None) -> SimilarSummary:
    """Write `similar.html` and `similar.json` with the rows nearest to an image, or to a row, which is left out.

    Raises `CatalogueError` where there is no such row or image, `ParityError` where the bundle is not the one that made
    the features, `IncompleteError` while the table is not committed.
    """
    table = open_features(settings.features_uri)
    query, own_row, picture = _query(settings, table)
    started = time.perf_counter()
    wanted = settings.num_rows + (own_row is not None)
    found = search(table, query, wanted, on_progress=on_progress)
    elapsed_s = time.perf_counter() - started
    hits = [
        (row, float(value))
        for row, value in zip(found.rows[0].tolist(), found.best[0].tolist(), strict=True)
        if row != own_row
    ][: settings.num_rows]
    cells = table.cells([row for row, _ in hits], PRODUCT)
    report = similar_report(
        query=settings.query,
        picture=picture,
        hits=[(product, value) for product, (_, value) in zip(shown_products(table, cells), hits, strict=True)],
        facts={
            "features_uri": settings.features_uri,
            "num_rows": table.num_rows,
            "bundle_digest": table.facts["bundle_digest"],
            "search_s": round(elapsed_s, 3),
            "program_version": __version__,
        },
    )
    out = open_store(settings.out_uri)
    for name, data in report.files().items():
        out.put(name, data)
    return SimilarSummary(report=report, report_uri=f"{out.uri}/similar.html")


def shown_products(table: FeatureRows, cells: Sequence[dict[str, Any]]) -> list[ShownProduct]:
    """Rows of the table with their pictures."""
    plan = table.plan()
    limits = ImageLimits(**plan.promises["limits"])
    images = read_chosen(plan, [(cell["input_file"], cell["input_row"]) for cell in cells])
    return [
        ShownProduct(**cell, png=None if image is None else thumbnail(image, limits))
        for cell, image in zip(cells, images, strict=True)
    ]


def features_classifier(table: FeatureRows, bundle: str | None) -> Classifier:
    """The bundle that made the features; `ParityError` where it is another one."""
    classifier = load_bundle(bundle or table.facts["bundle"], runtime="cpu")
    if classifier.digest != table.facts["bundle_digest"]:
        raise ParityError(
            f"{table.uri} holds features of bundle {table.facts['bundle_digest'][:12]}, not of "
            f"{classifier.digest[:12]}: name the right one with --bundle, or run fmnist-ray features anew."
        )
    return classifier


def _query(settings: SimilarSettings, table: FeatureRows) -> tuple[NDArray[np.float32], int | None, bytes | None]:
    """Features [1, width] of what is asked for, its row if it is one, and its picture."""
    if settings.query.isdecimal():
        row = table.find(int(settings.query))
        if row is None:
            raise CatalogueError(
                f"{settings.features_uri} has no features of row {settings.query}: the catalogue has fewer rows, or "
                "that row was rejected. Rows are counted over all files from 0."
            )
        [cell] = table.cells([row], PRODUCT)
        [product] = shown_products(table, [cell])
        return table.take(np.array([row])).features, row, product.png
    folder, name = split_uri(settings.query)
    classifier = features_classifier(table, settings.bundle)
    try:
        image = open_store(folder).get(name, max_bytes=classifier.limits.max_bytes)
    except NotFoundError as error:
        raise CatalogueError(f"There is no image {settings.query}; a row is named by its number.") from error
    answers = classifier.answer([image])
    if answers.rejects:
        reject = answers.rejects[0]
        raise CatalogueError(f"{settings.query} can't be used: {reject.reason}, {reject.detail}.")
    return answers.features, None, thumbnail(image, classifier.limits)
