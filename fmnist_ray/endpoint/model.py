"""The model behind the endpoint: the bundle that answers now, and how another takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from fmnist_ray.bundle.classifier import Classifier, open_classifier
from fmnist_ray.bundle.format import node_uri, read_bundle
from fmnist_ray.config.serve import ServeSettings
from fmnist_ray.decisions.columns import answer_columns
from fmnist_ray.endpoint.naming import Image
from fmnist_ray.images.prepare import Reject

_WARM_UP = 15
"""Images that are scored before the first request: so many that the runtime has made ready for every small number."""
Load = Callable[[str], Classifier]
"""A classifier for the bundle of that name, path or URI, with its golden rows passed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One image with an answer, and the classifier that gave it."""

    classifier: Classifier
    columns: dict[str, Any]
    """What a batch run would write of it, by column, as plain values"""
    probabilities: np.ndarray
    """float32 [labels]: of all labels; they add up to 1"""


Outcome = Answered | Reject
"""What became of one image. A reject's position is that within its batch, and means nothing here."""


class Model:
    """Answers with one bundle, until `replace` has another one ready."""

    def __init__(self, uri: str, load: Load) -> None:
        self._load = load
        self.uri = node_uri(uri)
        self.classifier = load(self.uri)
        self._replacing = asyncio.Lock()

    def answer(self, images: list[Image]) -> Sequence[Outcome]:
        """What the current bundle says of `images`; each batch is answered by one bundle."""
        classifier = self.classifier
        answers = classifier.answer(images)
        outcomes: list[Outcome | None] = [None] * len(images)
        rows = pa.RecordBatch.from_pydict(answer_columns(classifier.labels, answers)).to_pylist()
        for position, row, shares in zip(answers.positions, rows, answers.answers.probabilities, strict=True):
            outcomes[position] = Answered(classifier, row, shares)
        for reject in answers.rejects:
            outcomes[reject.position] = reject
        return [outcome for outcome in outcomes if outcome is not None]

    async def replace(self, uri: str) -> Classifier:
        """Load a bundle in a thread of its own and let it answer from the next batch on.

        Raises the bundle's errors, `BundleError` and `ParityError`, and keeps what it has.
        """
        async with self._replacing:
            place = await asyncio.to_thread(node_uri, uri)
            classifier = await asyncio.to_thread(self._load, place)
            self.uri, self.classifier = place, classifier
        return classifier


def loader(settings: ServeSettings, *, threads: int) -> Load:
    """How a replica with these settings opens a bundle."""

    def load(uri: str) -> Classifier:
        classifier = open_classifier(
            read_bundle(uri),
            runtime=settings.runtime,
            precision=settings.precision,
            num_threads=threads,
            limits=settings.limits.image,
            head=settings.head,
            promises=settings.promises,
        )
        shape = classifier.spec.preparation
        classifier.assess(np.zeros((_WARM_UP, shape.channels, shape.size, shape.size), np.uint8))
        return classifier

    return load
