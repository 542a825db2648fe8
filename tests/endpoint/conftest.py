"""The endpoint's application over real HTTP, without Ray: the same code that its replicas run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uvicorn

from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.serve import RequestLimits, ServeSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.endpoint.app import build_app
from fmnist_ray.endpoint.explaining import Explanation, Explanations, Question, Unexplained
from fmnist_ray.endpoint.keys import Keys
from fmnist_ray.endpoint.model import Model, loader
from fmnist_ray.endpoint.service import Service
from fmnist_ray.endpoint.similar import SimilarRows
from fmnist_ray.flows.features import extract_features

Serve = Callable[..., AbstractContextManager[str]]


@contextlib.contextmanager
def run_app(
    bundle: str = "default", *, limits: RequestLimits | None = None, keys: Keys | None = None, **values: Any
) -> Iterator[str]:
    """The address of an endpoint that ends with the block; `values` are other fields of its settings."""
    settings = ServeSettings(bundle=bundle, limits=limits or RequestLimits(), **values)
    explanations = Explanations(settings.limits.image)

    async def explain(question: Question) -> Explanation | Unexplained:
        return await asyncio.to_thread(explanations.answer, question)

    model = Model(bundle, loader(settings, threads=1))
    similar = None
    if settings.features_uri is not None:
        similar = SimilarRows(settings.features_uri, model, settings.limits, threads=1)
    service = Service(
        model,
        limits=settings.limits,
        keys=keys,
        explain=explain,
        image_prefixes=settings.image_prefixes,
        similar=similar,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(build_app(service), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            service.close()
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Runs an endpoint: `with serve(limits=..., keys=...) as url`."""
    return run_app


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An endpoint with the shipped bundle, its usual limits, and no keys."""
    with run_app() as address:
        yield address


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory, in_process: Any) -> str:
    """Features of the 1,000 images of `sample`, in four files."""
    out = str(tmp_path_factory.mktemp("features"))
    catalogue = str(sample_catalogue_path())
    settings = ClassifySettings(catalogue_uri=catalogue, out_uri=out, table="features", shard_rows=250)
    extract_features(settings, lambda: contextlib.nullcontext(in_process()))
    return out


@pytest.fixture(scope="session")
def sample() -> list[bytes]:
    """1,000 real images."""
    images: list[bytes] = pq.ParquetFile(sample_catalogue_path()).read(["image"])["image"].to_pylist()
    return images


@pytest.fixture(scope="session")
def other_bundle(tiny_bundle: Path) -> str:
    """A bundle that answers otherwise than the shipped one."""
    return str(tiny_bundle)
