"""Classifies fashion product photos by the million on Ray: every row exactly once, every night complete or absent."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "load_bundle", "open_results"]


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import fmnist_ray` itself costs nothing."""
    if name == "Client":
        from fmnist_ray.client import Client

        return Client
    if name == "load_bundle":
        from fmnist_ray.bundle.classifier import load_bundle

        return load_bundle
    if name == "open_results":
        from fmnist_ray.catalogue.results import open_results

        return open_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
