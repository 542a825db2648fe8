"""Why a bundle answers as it does: heat maps over images, and what the network's first layer sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmnist_ray import __version__
from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.bundle.explainer import Explainer
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.catalogue.feature_search import PRODUCT, search
from fmnist_ray.config.explain import ExplainSettings, Method
from fmnist_ray.decisions.decide import Answers, likeliest
from fmnist_ray.errors import CatalogueError, SettingError
from fmnist_ray.flows.explained_rows import FoundRows, explained_rows
from fmnist_ray.flows.similar import shown_products
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.heat import heat_picture, input_picture, overlay_picture, tiles_picture
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.reports.explain_page import Alike, Explained, ExplainReport, HeatMap, explain_report
from fmnist_ray.reports.review_page import QueuedRow, review_page
from fmnist_ray.reports.similar_page import ShownProduct
from fmnist_ray.store import open_store

if TYPE_CHECKING:
    from fmnist_ray.networks.network import Network

_LIKELIEST = 3
_NEIGHBOURS = 8
_SIDE = 168
"""Pixels of each picture's side."""
_TILE = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSummary:
    """Explanations that were written."""

    report: ExplainReport
    report_uri: str
    files: tuple[str, ...]


def explain(settings: ExplainSettings) -> ExplainSummary:
    """Write `explain.html`, `explain.json`, and PNGs of every map.

    Raises `CatalogueError` where a row is not there or its image can't be used, `SettingError` for a network that a
    method can't look into.
    """
    explainer = Explainer(read_bundle(settings.bundle))
    classifier = explainer.classifier
    network = None if set(settings.methods) == {"occlusion"} else explainer.network
    wanted = explained_rows(settings, classifier.labels)
    found = wanted.rows
    prepared = prepare_batch([row.cell for row in found], classifier.spec.preparation, classifier.limits)
    if prepared.rejects:
        reject = prepared.rejects[0]
        raise CatalogueError(f"{found[reject.position].name} can't be explained: {reject.reason}, {reject.detail}.")
    answers = classifier.assess(prepared.pixels)
    label_ids = answers.label_ids.astype(np.int64)
    maps = {method: explainer.maps(method, prepared.pixels, label_ids) for method in settings.methods}
    neighbours = _neighbours(settings, classifier, prepared.pixels)
    explained = [
        Explained(
            name=row.name,
            label=classifier.labels[label_ids[number]],
            true_label=None if row.truth < 0 else classifier.labels[row.truth],
            confidence=float(answers.confidences[number]),
            likeliest=_likeliest(answers, number, classifier),
            picture=encode_png(input_picture(prepared.pixels[number], _SIDE)),
            maps=tuple(_heat(method, prepared.pixels[number], maps[method][number]) for method in settings.methods),
            neighbours=neighbours[number],
        )
        for number, row in enumerate(found)
    ]
    filters, activations = (None, None) if network is None else _first_layer(network, prepared.pixels[0])
    report = explain_report(
        explained,
        bundle_uri=settings.bundle,
        bundle_digest=classifier.digest,
        data_uri=settings.data_uri,
        program_version=__version__,
        filters=filters,
        activations=activations,
        features_uri=settings.features_uri,
    )
    store = open_store(settings.out_uri)
    files = report.files() | _queue_page(wanted, explained, classifier)
    for name, data in files.items():
        store.put(name, data)
    return ExplainSummary(report=report, report_uri=f"{store.uri}/explain.html", files=tuple(files))


def _queue_page(wanted: FoundRows, explained: Sequence[Explained], classifier: Classifier) -> dict[str, bytes]:
    """The review page of rows from a review queue, each with its heat map; nothing for other rows."""
    if wanted.queue is None:
        return {}
    rows = []
    for row, shown in zip(wanted.rows, explained, strict=True):
        assert isinstance(row.cell, bytes)
        assert row.queued is not None
        picture = thumbnail(row.cell, classifier.limits)
        rows.append(QueuedRow(row=row.queued, thumbnail=picture, overlay=shown.maps[0].overlay))
    return {"queue.html": review_page(rows, **dataclasses.asdict(wanted.queue))}


def _neighbours(settings: ExplainSettings, classifier: Classifier, pixels: NDArray[np.uint8]) -> list[list[Alike]]:
    """For every image the rows of the feature table that are most like it; none without a table."""
    if settings.features_uri is None:
        return [[] for _ in pixels]
    table = open_features(settings.features_uri, bundle_digest=classifier.digest)
    found = search(table, classifier.features(pixels), _NEIGHBOURS)
    rows = np.unique(found.rows).tolist()
    shown = dict(zip(rows, shown_products(table, table.cells(rows, PRODUCT)), strict=True))
    pairs = zip(found.rows.tolist(), found.best.tolist(), strict=True)
    return [[_alike(shown[row], similarity) for row, similarity in zip(*pair, strict=True)] for pair in pairs]


def _alike(product: ShownProduct, similarity: float) -> Alike:
    return Alike(
        name=f"{product.input_file}, row {product.input_row}",
        label=product.label,
        similarity=similarity,
        thumbnail=product.png,
    )


def _likeliest(answers: Answers, row: int, classifier: Classifier) -> tuple[tuple[str, float], ...]:
    label_id, confidence = int(answers.label_ids[row]), float(answers.confidences[row])
    found = likeliest(answers.probabilities[row], label_id, confidence, _LIKELIEST)
    return tuple((classifier.labels[label], share) for label, share in found)


def _heat(method: Method, pixels: NDArray[np.uint8], values: NDArray[np.float32]) -> HeatMap:
    return HeatMap(
        method=method,
        heat=encode_png(heat_picture(values, _SIDE)),
        overlay=encode_png(overlay_picture(pixels, values, _SIDE)),
    )


def _first_layer(network: Network, pixels: NDArray[np.uint8]) -> tuple[bytes | None, bytes | None]:
    """Filters of the first convolution, and what they make of an image; None where there is no convolution."""
    from fmnist_ray.networks.ensemble import Ensemble
    from fmnist_ray.networks.saliency import first_activations, first_filters

    member = network.members[0] if isinstance(network, Ensemble) else network
    try:
        filters, activations = first_filters(member), first_activations(member, pixels)  # type: ignore[arg-type]
    except SettingError:
        return None, None
    return (
        encode_png(tiles_picture(filters.mean(axis=1), 16, _TILE)),
        encode_png(tiles_picture(activations, 8, 2 * _TILE)),
    )
