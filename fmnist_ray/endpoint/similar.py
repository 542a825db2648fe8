"""Rows of a table of features that look like a request's images: the search of the `similar` command, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.catalogue.feature_search import PRODUCT, search
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.model import Model
from fmnist_ray.endpoint.naming import Image
from fmnist_ray.endpoint.problems import Problem
from fmnist_ray.images.prepare import Reject

MOST_ROWS = 100
"""Rows that are found for an image, whatever the request asks for: images of several requests are searched together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The rows nearest to one image, the nearest first."""

    rows: list[int]
    """Numbers within the table."""
    similarities: list[float]
    """The cosine of each, 1 at most."""


class SimilarRows:
    """Searches the table at `uri`, whose features are those of the model's bundle.

    Raises as `open_features` does: `IncompleteError`, `SettingError`, `ParityError`.
    """

    def __init__(self, uri: str, model: Model, limits: RequestLimits, *, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._digest = model.classifier.digest
        self._table = open_features(uri, bundle_digest=self._digest)
        self._table.keep(PRODUCT, max_bytes=limits.max_features_bytes)

    def answer(self, images: list[Image]) -> Sequence[Neighbours | Reject]:
        """The neighbours of each image, or why it has none. `Problem` once another bundle has taken over."""
        classifier = self._model.classifier
        if classifier.digest != self._digest:
            raise Problem(
                409,
                "features",
                f"Bundle {classifier.digest[:12]} has taken over, and the features are of {self._digest[:12]}: run "
                "fmnist-ray features with the new one, and start the endpoint with its --out.",
            )
        answers = classifier.answer(images)
        outcomes: dict[int, Neighbours | Reject] = {reject.position: reject for reject in answers.rejects}
        if len(answers.positions):
            found = search(self._table, answers.features, MOST_ROWS, threads=self._threads)
            for position, rows, values in zip(answers.positions.tolist(), found.rows, found.best, strict=True):
                outcomes[position] = Neighbours(rows=rows.tolist(), similarities=values.clip(-1, 1).tolist())
        return [outcomes[position] for position in range(len(images))]

    def products(self, neighbours: Neighbours, num_rows: int) -> list[dict[str, Any]]:
        """The first of the neighbours, as plain values."""
        cells = self._table.cells(neighbours.rows[:num_rows], PRODUCT)
        pairs = zip(cells, neighbours.similarities[:num_rows], strict=True)
        return [{**cell, "similarity": similarity} for cell, similarity in pairs]
