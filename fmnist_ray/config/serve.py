"""How the endpoint answers: where it listens, what a request may hold, and how much it takes on at once."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from fmnist_ray.config.classify import HeadName, Precision, Runtime
from fmnist_ray.config.decisions import Promises
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import SettingError

Proxy = Literal["haproxy", "ray"]
"""What stands before the replicas: HAProxy, which Ray brings along on Linux, or Serve's own proxy, ten times slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request may hold, and what one replica takes on before it says that it is busy."""

    max_body_bytes: int = 64_000_000
    """Largest request body, in bytes; a larger one is answered 413 as soon as it is seen."""
    max_images: int = 256
    """Most images in one request."""
    max_held_bytes: int = 256_000_000
    """Bodies that a replica holds at once, in bytes; beyond it requests are answered 503."""
    max_waiting_images: int = 1024
    """Images that wait for the network of a replica; beyond it requests are answered 503."""
    batch_images: int = 64
    """Most images that are decoded and scored together."""
    batch_bytes: int = 16_000_000
    """Most encoded bytes that are decoded and scored together; an image larger than that goes alone."""
    body_timeout_s: float = 20.0
    """Seconds within which a body must have arrived, else 408."""
    answer_timeout_s: float = 10.0
    """Seconds within which a request that arrived must be answered, else 503."""
    max_explaining: int = 8
    """Explanations that a replica has asked for and waits for; beyond it requests are answered 503."""
    explain_timeout_s: float = 50.0
    """Seconds within which an image must be explained, else 503. The first one starts the process that explains."""
    max_features_bytes: int = 1_000_000_000
    """Features that a replica holds in memory, with the names of their products; a larger table is read each time."""
    image: ImageLimits = field(default_factory=ImageLimits)
    """What is decoded at all."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name != "image" and value <= 0:
                raise SettingError(f"{item.name} is {value}; it must be above 0.")
        if self.max_waiting_images < self.max_images:
            raise SettingError(
                f"max_waiting_images is {self.max_waiting_images}, less than the {self.max_images} images that one "
                "request may hold; raise it, or lower max_images."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """One endpoint."""

    bundle: str = "default"
    """A shipped bundle's name, or a bundle's path or URI."""
    head: HeadName | None = None
    """Who decides: the network's own head, the SVM, or their combination. None: the one that the bundle names."""
    promises: Promises = field(default_factory=Promises)
    """What holds of the decisions, as in a batch run. A bundle that can't keep it is refused."""
    image_prefixes: tuple[str, ...] = ()
    """Places below which images may lie that requests name, on S3 or disk. Empty: requests must hold their images."""
    features_uri: str | None = None
    """The --out of a features run with this bundle, for requests that ask which of its rows look like an image."""
    host: str = "127.0.0.1"
    """The address to listen on. Any but this machine's own (127.0.0.1, ::1) needs `keys_path`."""
    port: int = 8000
    """0 takes a free one."""
    keys_path: str | None = None
    """A file of hashed bearer keys. None: whoever reaches the port may ask."""
    min_replicas: int = 1
    """Processes that answer, at least."""
    max_replicas: int = 1
    """Processes that answer, at most; Ray Serve adds and removes them by the load."""
    threads: int | None = None
    """Threads of each replica's network. None: the CPUs of this machine, shared among the replicas."""
    runtime: Runtime = "cpu"
    """cpu (OpenVINO) or gpu (torch on CUDA)."""
    gpu_share: float = 1.0
    """Share of a GPU for each replica of the gpu runtime."""
    precision: Precision = "f32"
    """Arithmetic of the network. f32 gives the batch run's answers."""
    proxy: Proxy = "haproxy"
    watch_s: float | None = None
    """Seconds after which the command looks whether another bundle is at its place. None: never, but see reload."""
    limits: RequestLimits = field(default_factory=RequestLimits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingError(f"--port is {self.port}; it must be within 0..65535.")
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise SettingError(
                f"Replicas from {self.min_replicas} to {self.max_replicas} were asked for; "
                "there must be at least one, and the second number not below the first."
            )
        if self.threads is not None and self.threads < 1:
            raise SettingError(f"--threads is {self.threads}; it must be at least 1.")
        if self.watch_s is not None and self.watch_s <= 0:
            raise SettingError(f"--watch is {self.watch_s:g}; it must be above 0 seconds.")
        if not 0 < self.gpu_share <= 1:
            raise SettingError(f"--gpu-share is {self.gpu_share}; it must be above 0, and 1 at most.")
        if not is_loopback(self.host) and self.keys_path is None:
            raise SettingError(
                f"--host {self.host} can be reached from other machines, so the endpoint needs keys: make one with "
                "--new-key NAME --keys FILE and give --keys FILE, or listen on 127.0.0.1."
            )


def is_loopback(host: str) -> bool:
    """Whether `host` is reached from this machine only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
