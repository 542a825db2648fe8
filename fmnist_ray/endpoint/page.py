"""The page for people: static files of the package, and a few real images to try."""

from __future__ import annotations

import functools
from importlib import resources

import pyarrow.parquet as pq
from fastapi import FastAPI, Response

from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.endpoint.problems import Problem

NUM_SAMPLES = 10
_ASSETS = {"page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}


def add_page(app: FastAPI) -> None:
    """`/`, and what it is made of under `/page/`. None of it is part of the interface for programs."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(_asset("page.html"), media_type="text/html; charset=utf-8")

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise Problem(404, "request", "There is no such part of the page.")
        return Response(_asset(name), media_type=_ASSETS[name])

    @app.get("/page/samples/{number}", include_in_schema=False)
    def sample(number: int) -> Response:  # not async: reading Parquet belongs on a thread
        if not 0 <= number < NUM_SAMPLES:
            raise Problem(404, "request", f"There are {NUM_SAMPLES} samples, from 0 on.")
        return Response(_samples()[number], media_type="image/png")


@functools.cache
def _asset(name: str) -> bytes:
    return (resources.files("fmnist_ray.endpoint") / "assets" / name).read_bytes()


@functools.cache
def _samples() -> list[bytes]:
    """One test image of Fashion-MNIST per class."""
    table = pq.ParquetFile(sample_catalogue_path()).read(["image", "label"])
    labels: list[int] = table["label"].to_pylist()
    return [table["image"][labels.index(number)].as_py() for number in range(NUM_SAMPLES)]
