"""What a replica counts, for Prometheus. Every replica counts for itself, and says which one it is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from fmnist_ray.endpoint.model import Answered, Outcome

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one replica."""

    def __init__(self, replica: str) -> None:
        self._registry = CollectorRegistry()
        self._replica = replica
        self._requests = self._counter("requests", "Requests by route and status", "route", "status")
        self._images = self._counter("images", "Images by what became of them: a label, or a reject reason", "outcome")
        self._reloads = self._counter("reloads", "Attempts to load another bundle", "outcome")
        self._seconds = Histogram(
            "fmnist_ray_request_seconds",
            "From the first byte of a request to the last of its answer",
            ("replica", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        sizes = Histogram(
            "fmnist_ray_batch_images",
            "Images that were answered together",
            ("replica",),
            buckets=_SIZES,
            registry=self._registry,
        )
        self._batches = sizes.labels(replica)
        waiting = Gauge("fmnist_ray_waiting_images", "Images without an answer", ("replica",), registry=self._registry)
        self.waiting = waiting.labels(replica)
        self._bundle = Gauge("fmnist_ray_bundle", "The bundle in use", ("replica", "digest"), registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fmnist_ray_{name}", text, ("replica", *labels), registry=self._registry)

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request. Routes are those of the application, so that made-up paths make no new series."""
        route = getattr(scope.get("route"), "path", "other")
        self._requests.labels(self._replica, route, str(status)).inc()
        self._seconds.labels(self._replica, route).observe(seconds)

    def images(self, outcomes: list[Outcome]) -> None:
        """Count images by label or reject reason."""
        for outcome in outcomes:
            known = isinstance(outcome, Answered)
            self._images.labels(self._replica, "classified" if known else str(getattr(outcome, "reason", ""))).inc()

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def bundle(self, digest: str) -> None:
        """Say which bundle answers from now on."""
        self._bundle.clear()
        self._bundle.labels(self._replica, digest).set(1)

    def reload(self, outcome: str) -> None:
        """Count an attempt to load another bundle: `done` or `refused`."""
        self._reloads.labels(self._replica, outcome).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
