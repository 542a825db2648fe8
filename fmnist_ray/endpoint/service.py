"""One replica of the endpoint, whatever runs it: its model, its queue, its counters, and its key holders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.config.explain import Method
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.batcher import Batcher
from fmnist_ray.endpoint.explaining import Explain, Explanation, Question, Unexplained, unusable
from fmnist_ray.endpoint.keys import Keys
from fmnist_ray.endpoint.metrics import Metrics
from fmnist_ray.endpoint.model import Model, Outcome
from fmnist_ray.endpoint.naming import Image, NamedImages
from fmnist_ray.endpoint.problems import Busy, Problem
from fmnist_ray.endpoint.similar import SimilarRows
from fmnist_ray.errors import FmnistRayError, ImageRejected
from fmnist_ray.images.prepare import Reject

_LOG = logging.getLogger(__name__)


class Service:
    """Answers images. Belongs to one event loop."""

    def __init__(
        self,
        model: Model,
        *,
        limits: RequestLimits,
        keys: Keys | None,
        explain: Explain,
        image_prefixes: Sequence[str] = (),
        similar: SimilarRows | None = None,
        replica: str = "0",
        announce: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self.keys = keys
        self.metrics = Metrics(replica)
        self.metrics.bundle(model.classifier.digest)
        self.announce = announce
        """Told the URI of a bundle that an administrator let take over, so that other replicas follow."""
        self.named_images = NamedImages(image_prefixes, limits)
        self._explain = explain
        self._num_explaining = 0
        self._similar = similar
        self._searches = None if similar is None else Batcher(similar.answer, limits)
        self._batcher: Batcher[Outcome] = Batcher(model.answer, limits, on_batch=self.metrics.batch)

    async def classify(self, images: Sequence[Image]) -> list[Outcome]:
        """One outcome per image, in order. Raises `Busy`."""
        outcomes = await self._batcher.submit(images)
        self.metrics.images(outcomes)
        return outcomes

    async def similar(self, images: Sequence[Image], num_rows: int) -> list[list[dict[str, Any]] | Reject]:
        """The products that look like each image, at most `num_rows`. Raises `Busy`, and `Problem` where there is no
        table of features, or none that fits."""
        similar = self._similar
        if similar is None or self._searches is None:
            raise Problem(404, "no-features", "This endpoint has no table of features: start it with serve --features.")
        try:
            found = await self._searches.submit(images)
            return [
                each if isinstance(each, Reject) else await asyncio.to_thread(similar.products, each, num_rows)
                for each in found
            ]
        except FmnistRayError as error:
            _LOG.error("The table of features can't be read: %s", error.message)
            detail = "The table of features can't be read; the endpoint's log says why."
            raise Problem(503, "features", detail, retry_after_s=5) from error

    async def explain(self, image: Image, method: Method, label: str | None) -> Explanation:
        """Where the current bundle looks. Raises `Busy`, and `Problem` for what can't be explained."""
        answer = unusable(image) if isinstance(image, ImageRejected) else await self._ask(image, method, label)
        if isinstance(answer, Unexplained):
            raise Problem(answer.status, answer.kind, answer.detail, retry_after_s=5 if answer.status == 503 else None)
        return answer

    async def _ask(self, image: bytes, method: Method, label: str | None) -> Explanation | Unexplained:
        if self._num_explaining >= self.limits.max_explaining:
            raise Busy(f"{self._num_explaining} explanations are asked for already")
        self._num_explaining += 1
        try:
            async with asyncio.timeout(self.limits.explain_timeout_s):
                question = Question(
                    image=image,
                    method=method,
                    label=label,
                    bundle_uri=self.model.uri,
                    bundle_digest=self.model.classifier.digest,
                )
                return await self._explain(question)
        except TimeoutError:
            raise Busy(f"There was no explanation within {self.limits.explain_timeout_s:g} seconds") from None
        finally:
            self._num_explaining -= 1

    async def reload(self, uri: str) -> Classifier:
        """Let the bundle at `uri` take over, once it has answered its golden rows. Raises the bundle's errors."""
        try:
            classifier = await self.model.replace(uri)
        except FmnistRayError:
            self.metrics.reload("refused")
            raise
        self.metrics.reload("done")
        self.metrics.bundle(classifier.digest)
        return classifier

    @property
    def busy_s(self) -> float:
        """Seconds for which the network has been at its current batch; 0 while nothing waits."""
        return self._batcher.busy_s

    def metrics_text(self) -> bytes:
        """The counters of this replica."""
        self.metrics.waiting.set(self._batcher.num_waiting)
        return self.metrics.text()

    def close(self) -> None:
        """Let its threads end."""
        self._batcher.close()
        if self._searches is not None:
            self._searches.close()
        self.named_images.close()
