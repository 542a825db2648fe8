"""A replica of the endpoint: a process of Ray Serve's with a model, which keeps to the bundle that all replicas use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Any

import ray

from fmnist_ray.config.serve import ServeSettings
from fmnist_ray.distributed.explaining import ask_through
from fmnist_ray.endpoint.app import build_app
from fmnist_ray.endpoint.keys import Keys
from fmnist_ray.endpoint.model import Model, loader
from fmnist_ray.endpoint.service import Service
from fmnist_ray.endpoint.similar import SimilarRows
from fmnist_ray.errors import FmnistRayError

_LOG = logging.getLogger(__name__)
_CHOICE = "fmnist-ray-bundle"
_NAMESPACE = "fmnist-ray"
_FOLLOW_S = 1.0
"""Seconds after which a replica has heard that another one took a new bundle."""
_STUCK_S = 60
"""Seconds that one batch may take before the replica is taken for stuck, and Serve starts another."""


def choose_bundle(uri: str) -> None:
    """Let every replica take the bundle at `uri`; they do within a second or so."""
    ray.get(ray.get_actor(_CHOICE, _NAMESPACE).choose.remote(uri))


def forget_choice() -> None:
    """End the actor that remembers which bundle was chosen; it outlives the replicas."""
    with contextlib.suppress(ValueError):
        ray.kill(ray.get_actor(_CHOICE, _NAMESPACE))


class Replica:
    """One process that answers: the web application, and all that it needs. `serve.bind` makes a deployment of it."""

    def __init__(self, settings: ServeSettings, keys: Keys | None, explainer: Any) -> None:
        from ray import serve

        threads = settings.threads or max(1, (os.cpu_count() or 1) // settings.max_replicas)
        choice: Any = ray.remote(num_cpus=0)(_Choice)
        self._choice: Any = choice.options(
            name=_CHOICE, namespace=_NAMESPACE, lifetime="detached", get_if_exists=True
        ).remote()
        self._seen, chosen = ray.get(self._choice.latest.remote())
        model = Model(chosen or settings.bundle, loader(settings, threads=threads))
        similar = None
        if settings.features_uri is not None:
            similar = SimilarRows(settings.features_uri, model, settings.limits, threads=threads)
        replica = serve.get_replica_context().replica_id.unique_id
        self._service = Service(
            model,
            limits=settings.limits,
            keys=keys,
            explain=ask_through(explainer),
            image_prefixes=settings.image_prefixes,
            similar=similar,
            replica=replica,
            announce=self._announce,
        )
        self._following: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Serve once the constructor is done."""
        self._following = asyncio.get_running_loop().create_task(self._follow())
        return build_app(self._service)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called by Serve when the configuration of a running application changes: `bundle` names the one to use."""
        if uri := user_config.get("bundle"):
            await self._take(uri)

    def check_health(self) -> None:
        """Called by Serve now and then."""
        if self._service.busy_s > _STUCK_S:
            raise RuntimeError(f"The network has been at one batch for {self._service.busy_s:.0f} seconds.")

    async def _announce(self, uri: str) -> None:
        self._seen = await self._choice.choose.remote(uri)

    async def _follow(self) -> None:
        """Take the bundle that another replica took."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            with contextlib.suppress(ray.exceptions.RayError):
                number, uri = await self._choice.latest.remote()
                if number != self._seen:
                    self._seen = number
                    await self._take(uri)

    async def _take(self, uri: str) -> None:
        """Answer with another bundle. Where that is refused, the old one stays; the log and the metrics say so. An
        exception would make Serve end the replica that still answers."""
        try:
            await self._service.reload(uri)
        except FmnistRayError as error:
            _LOG.error("Bundle %s is refused: %s", uri, error)


class _Choice:
    """Which bundle an administrator chose last, for replicas that start later or did not hear it themselves."""

    def __init__(self) -> None:
        self._number = 0
        self._uri: str | None = None

    def choose(self, uri: str) -> int:
        """Choose; how many choices there were so far."""
        self._number, self._uri = self._number + 1, uri
        return self._number

    def latest(self) -> tuple[int, str | None]:
        """How many choices there were, and the last one; None where it is still the bundle of the settings."""
        return self._number, self._uri
