"""The endpoint on Ray Serve: replicas that answer, one after the other and side by side, and how they start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.serve import ServeSettings, is_loopback
from fmnist_ray.distributed.haproxy import check_port, serve_environment, set_environment
from fmnist_ray.distributed.ports import listening_ports
from fmnist_ray.distributed.session import connect
from fmnist_ray.endpoint.app import build_app
from fmnist_ray.endpoint.keys import Keys, read_keys
from fmnist_ray.endpoint.model import Model, loader
from fmnist_ray.endpoint.service import Service
from fmnist_ray.errors import ClusterError, FmnistRayError

_LOG = logging.getLogger(__name__)
_APPLICATION = "fmnist-ray"
_CHOICE = "fmnist-ray-bundle"
_FOLLOW_S = 1.0
"""Seconds after which a replica has heard that another one took a new bundle."""
_MAX_ONGOING = 2_000
"""Requests that Serve hands to a replica at once. The replica itself says when it is busy, by images and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A running endpoint."""

    url: str
    bundle_digest: str
    exposed_ports: list[int]
    """Ports besides its own that other machines can reach unless a firewall closes them."""


@contextlib.contextmanager
def open_endpoint(settings: ServeSettings, *, address: str | None = None) -> Iterator[Endpoint]:
    """The endpoint, ready to answer, on the cluster at `address` or on a Ray of its own that ends with it.

    The bundle and the keys are looked at first, so that what is wrong with them is said before anything is started:
    `BundleError`, `ParityError`, `InputError`. `ClusterError` where the port is taken or Serve does not come up.
    """
    keys = read_keys(settings.keys_path) if settings.keys_path else None
    digest = _look_at_bundle(settings)
    port = check_port(settings.host, settings.port)
    with tempfile.TemporaryDirectory(prefix="fmr-", dir="/tmp") as folder:
        set_environment(serve_environment(settings.proxy, Path(folder)))
        from ray import serve

        with connect(address):
            application = bind(settings, keys)
            try:
                serve.start(http_options={"host": settings.host, "port": port}, proxy_location="HeadOnly")
                serve.run(application, name=_APPLICATION, route_prefix="/")
            except (RuntimeError, TimeoutError) as error:
                raise ClusterError(f"Ray Serve did not start the endpoint: {error}") from error
            try:
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                exposed = {number for at, number in listening_ports() if not is_loopback(at)}
                yield Endpoint(
                    url=f"http://{host}:{port}", bundle_digest=digest, exposed_ports=sorted(exposed - {port})
                )
            finally:
                serve.shutdown()  # type: ignore[no-untyped-call]


def _look_at_bundle(settings: ServeSettings) -> str:
    """The digest of the bundle, which is proven here already where it can be."""
    if settings.runtime == "gpu":
        return read_bundle(settings.bundle).digest
    return loader(settings, threads=1)(settings.bundle).digest


def bind(settings: ServeSettings, keys: Keys | None) -> Any:
    """The endpoint as a Serve application."""
    from ray import serve

    replicas: dict[str, Any] = (
        {"num_replicas": settings.min_replicas}
        if settings.min_replicas == settings.max_replicas
        else {
            "autoscaling_config": {
                "min_replicas": settings.min_replicas,
                "max_replicas": settings.max_replicas,
                "target_ongoing_requests": 16,
                "upscale_delay_s": 5,
            }
        }
    )
    gpu_share = settings.gpu_share if settings.runtime == "gpu" else 0
    deployment = serve.deployment(
        **replicas,
        name="endpoint",
        max_ongoing_requests=_MAX_ONGOING,
        graceful_shutdown_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 0.5, "num_gpus": gpu_share},
    )(serve.ingress()(Replica))
    return deployment.bind(settings, keys)


class Replica:
    """One process that answers: the web application, and all that it needs."""

    def __init__(self, settings: ServeSettings, keys: Keys | None) -> None:
        from ray import serve

        threads = settings.threads or max(1, (os.cpu_count() or 1) // settings.max_replicas)
        choice: Any = ray.remote(num_cpus=0)(_Choice)
        self._choice: Any = choice.options(name=_CHOICE, get_if_exists=True).remote()
        self._seen, chosen = ray.get(self._choice.latest.remote())
        model = Model(chosen or settings.bundle, loader(settings, threads=threads))
        replica = serve.get_replica_context().replica_id.unique_id
        self._service = Service(model, limits=settings.limits, keys=keys, replica=replica, announce=self._announce)
        self._following: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> Any:
        """Called by Serve once the constructor is done."""
        self._following = asyncio.get_running_loop().create_task(self._follow())
        return build_app(self._service)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called by Serve when the configuration of a running application changes: `bundle` names the one to use."""
        if uri := user_config.get("bundle"):
            await self._service.reload(uri)

    async def _announce(self, uri: str) -> None:
        self._seen = await self._choice.choose.remote(uri)

    async def _follow(self) -> None:
        """Take the bundle that another replica took. Where it can't, the old one stays, and the log says why."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            with contextlib.suppress(ray.exceptions.RayError):
                number, uri = await self._choice.latest.remote()
                if number == self._seen:
                    continue
                self._seen = number
                try:
                    await self._service.reload(uri)
                except FmnistRayError as error:
                    _LOG.error("The bundle that another replica took is refused here: %s", error)


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
