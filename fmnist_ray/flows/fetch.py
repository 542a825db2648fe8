"""Getting the data set."""

from __future__ import annotations

from pathlib import Path

from fmnist_ray.datasets.fashion_mnist import FetchedFashionMnist, fetch


def fetch_fashion_mnist(from_folder: Path | None = None) -> FetchedFashionMnist:
    """The four files of Fashion-MNIST, checked, from the nearest place that has them; see `datasets.fashion_mnist`."""
    return fetch(from_folder)
