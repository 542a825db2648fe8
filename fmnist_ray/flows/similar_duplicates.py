"""Products of a catalogue whose images are nearly the same, by their pixels.

Features are made to forget what tells products of one class apart: of the 270 pairs of Fashion-MNIST's test images
whose pixels correlate by 0.98 or more, 31 % have a cosine of 0.998 or more, as 3,481 pairs do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fmnist_ray import __version__
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.feature_rows import FeatureRows, open_features
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.plan import Shard
from fmnist_ray.catalogue.reader import RowBatch, read_rows
from fmnist_ray.catalogue.writer import encode_table
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.config.similar import DuplicateSettings
from fmnist_ray.errors import CatalogueError
from fmnist_ray.flows.similar import features_classifier, shown_products
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.reports.duplicates import near_duplicates
from fmnist_ray.reports.similar_page import DuplicatesReport, duplicates_report
from fmnist_ray.store import open_store

_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatesSummary:
    """Pairs that were found, with their page."""

    report: DuplicatesReport
    report_uri: str
    pairs_uri: str


def find_duplicates(
    settings: DuplicateSettings, *, on_progress: Callable[[int, int], None] | None = None
) -> DuplicatesSummary:
    """Write `duplicates.parquet`, every pair of rows whose prepared images correlate, and a page of the first ones.

    All prepared images are held in memory, some 4 kB a row, and every pair is compared: for up to a million rows.
    Raises as `similar.similar`, and `ChangedError` where the catalogue was changed since.
    """
    table = open_features(settings.features_uri)
    preparation = features_classifier(table, settings.bundle).spec.preparation
    limits = ImageLimits(**table.plan().promises["limits"])
    pixels, places = [], []
    for file, batch in _batches(table):
        prepared = prepare_batch(batch.images, preparation, limits)
        pixels.append(prepared.pixels)
        ids = batch.ids.to_pylist()
        labels = batch.labels if batch.labels is not None else [None] * len(batch)
        for position in prepared.positions.tolist():
            label = labels[position]
            row = {"product_id": ids[position], "input_file": file, "input_row": batch.first_row + position}
            places.append({**row, "label": None if label is None else str(label)})
        if on_progress is not None:
            on_progress(len(places), table.num_rows)
    if not places:
        raise CatalogueError(f"The catalogue of {settings.features_uri} has no image that can be used.")
    pairs = near_duplicates(np.concatenate(pixels), similarity=settings.similarity)
    out = open_store(settings.out_uri)
    columns = {
        f"{side}_{name}": [places[getattr(pair, side)][name] for pair in pairs]
        for side in ("first", "second")
        for name in ("product_id", "input_file", "input_row", "label")
    }
    similarities = pa.array([pair.similarity for pair in pairs], pa.float32())
    out.put("duplicates.parquet", encode_table(pa.table({**columns, "similarity": similarities})))
    shown = pairs[:_SHOWN]
    products = shown_products(table, [places[row] for pair in shown for row in (pair.first, pair.second)])
    involved = {row for pair in pairs for row in (pair.first, pair.second)}
    report = duplicates_report(
        pairs=[(products[2 * n], products[2 * n + 1], pair.similarity) for n, pair in enumerate(shown)],
        facts={
            "features_uri": settings.features_uri,
            "num_rows": len(places),
            "num_pairs": len(pairs),
            "num_involved": len(involved),
            "similarity": settings.similarity,
            "program_version": __version__,
        },
    )
    for name, data in report.files().items():
        out.put(name, data)
    return DuplicatesSummary(
        report=report, report_uri=f"{out.uri}/duplicates.html", pairs_uri=f"{out.uri}/duplicates.parquet"
    )


def _batches(table: FeatureRows) -> Iterator[tuple[str, RowBatch]]:
    """The catalogue's rows, from the very files that the features were taken of."""
    plan = table.plan()
    store = open_store(plan.catalogue_uri)
    columns = Columns.from_dict({**plan.columns, "keep": ()})
    limits = ImageLimits(**plan.promises["limits"])
    fetcher = ImageFetcher(plan.catalogue_uri, plan.promises["image_prefixes"], max_bytes=limits.max_bytes)
    for number, file in enumerate(plan.inputs):
        shard = Shard(id="", file=number, start=0, stop=file.num_rows)
        for batch in fetcher.fetched(read_rows(store, file, shard, columns)):
            yield file.key, batch
