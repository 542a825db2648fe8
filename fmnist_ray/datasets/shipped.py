"""The sample of Fashion-MNIST that ships with the package: a first look, and tests, without a network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

SAMPLE_PER_CLASS = 100


def sample_catalogue_path() -> Path:
    """A catalogue of 1,000 real test images: the first 100 of each class, in test order, with their labels.

    `flows.build.build_sample` made it.
    """
    return Path(str(resources.files("fmnist_ray.datasets") / "sample" / "sample.parquet"))
