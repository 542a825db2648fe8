"""One replica of the endpoint, whatever runs it: its model, its queue, its counters, and its key holders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fmnist_ray.bundle.classifier import Classifier
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.batcher import Batcher
from fmnist_ray.endpoint.keys import Keys
from fmnist_ray.endpoint.metrics import Metrics
from fmnist_ray.endpoint.model import Model, Outcome
from fmnist_ray.errors import FmnistRayError


class Service:
    """Answers images. Belongs to one event loop."""

    def __init__(
        self,
        model: Model,
        *,
        limits: RequestLimits,
        keys: Keys | None,
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
        self._batcher: Batcher[Outcome] = Batcher(model.answer, limits, on_batch=self.metrics.batch)

    async def classify(self, images: Sequence[bytes]) -> list[Outcome]:
        """One outcome per image, in order. Raises `Busy`."""
        outcomes = await self._batcher.submit(images)
        self.metrics.images(outcomes)
        return outcomes

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
        """Let its thread end."""
        self._batcher.close()
