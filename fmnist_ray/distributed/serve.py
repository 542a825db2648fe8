"""The endpoint on Ray Serve: how it is put together, how it starts, and how it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_ray.bundle.format import node_uri, read_bundle
from fmnist_ray.catalogue.feature_rows import open_features
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.serve import ServeSettings, is_loopback
from fmnist_ray.distributed.explaining import bind_explainer
from fmnist_ray.distributed.haproxy import check_port, serve_environment, set_environment
from fmnist_ray.distributed.ports import listening_ports
from fmnist_ray.distributed.replica import Replica, choose_bundle, forget_choice
from fmnist_ray.distributed.session import connect
from fmnist_ray.endpoint.keys import Keys, read_keys
from fmnist_ray.endpoint.model import loader
from fmnist_ray.endpoint.watch import Watch
from fmnist_ray.errors import ClusterError
from fmnist_ray.store import open_source, open_store

_APPLICATION = "fmnist-ray"
_FOLDER_PREFIX = "fmr-"
"""Short: HAProxy's socket lies two levels below it, and its path may have 97 characters."""
_ROUTED_S = 30
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

    Bundle, features and keys are looked at first, so that what is wrong with them is said before anything is started:
    `BundleError`, `ParityError`, `InputError`. `ClusterError` where the port is taken or Serve does not come up.
    """
    keys = read_keys(settings.keys_path) if settings.keys_path else None
    prefixes = tuple(open_source(prefix).uri for prefix in settings.image_prefixes)
    features = None if settings.features_uri is None else open_store(settings.features_uri).uri
    settings = dataclasses.replace(
        settings, bundle=node_uri(settings.bundle), image_prefixes=prefixes, features_uri=features
    )
    digest = _look_at_bundle(settings)
    if settings.features_uri is not None:
        open_features(settings.features_uri, bundle_digest=digest)
    port = check_port(settings.host, settings.port)
    joins = bool(address or os.environ.get("RAY_ADDRESS"))
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, dir="/tmp") as folder:
        if not joins:  # a cluster's Serve has its own environment, and may have other applications
            set_environment(serve_environment(settings.proxy, Path(folder)))
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        with connect(address):
            application = bind(settings, keys)
            try:
                serve.start(http_options={"host": settings.host, "port": port}, proxy_location="HeadOnly")
                serve.run(application, name=_APPLICATION, route_prefix="/")
            except (RuntimeError, TimeoutError) as error:
                raise ClusterError(f"Ray Serve did not start the endpoint ({_last_line(error)}).") from error
            try:
                _wait_until_ready(settings.host, port)
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                exposed = {number for at, number in listening_ports() if not is_loopback(at)}
                yield Endpoint(
                    url=f"http://{host}:{port}", bundle_digest=digest, exposed_ports=sorted(exposed - {port})
                )
            finally:
                serve.delete(_APPLICATION)  # waits until what was accepted is answered
                forget_choice()
                if not joins:
                    serve.shutdown()  # type: ignore[no-untyped-call]


def watch_bundle(settings: ServeSettings, digest: str) -> Watch:
    """A watch over the place of the bundle with `digest`, for an endpoint that runs with these settings."""
    return Watch(
        settings.bundle,
        digest,
        prove=lambda: _look_at_bundle(settings),
        choose=lambda: choose_bundle(node_uri(settings.bundle)),
    )


def _wait_until_ready(host: str, port: int) -> None:
    """Wait until the proxy has heard of the replicas."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    deadline = time.monotonic() + _ROUTED_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(own, port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise ClusterError(f"Ray Serve runs, but nothing answers on {host} port {port} after {_ROUTED_S} seconds.")


def _last_line(error: Exception) -> str:
    """What a worker's traceback ends with."""
    return str(error).strip().rpartition("\n")[2].strip().rstrip(".")


def application(args: dict[str, Any]) -> Any:
    """The endpoint for Ray Serve's configuration files, `import_path: fmnist_ray.distributed.serve:application`; `args`
    are fields of `ServeSettings`, and `promises` those of `Promises`. It listens where the file says, so it needs
    `keys_path`, on every node.
    """
    settings = ServeSettings(**{"host": "0.0.0.0", **args, "promises": Promises(**args.get("promises", {}))})
    settings = dataclasses.replace(settings, bundle=node_uri(settings.bundle))
    return bind(settings, read_keys(settings.keys_path) if settings.keys_path else None)


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
        logging_config={"enable_access_log": False},
        graceful_shutdown_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 0.5, "num_gpus": gpu_share},
    )(serve.ingress()(Replica))
    return deployment.bind(settings, keys, bind_explainer(settings.limits.image))
