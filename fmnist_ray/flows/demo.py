"""The catalogue of the demo: the real test images of Fashion-MNIST, or the sample of them that ships."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_ray.catalogue.build import is_built
from fmnist_ray.config.catalogue import BuildSettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import SourceError
from fmnist_ray.flows.build import build_catalogue
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCatalogue:
    """What the demo classifies, and where to."""

    catalogue_uri: str
    results_uri: str
    num_built: int
    """Rows that were written now; 0 where the catalogue was there."""
    no_data: str | None
    """Why the data set can't be had, which is why the catalogue is the shipped sample; None where it is the whole."""


def prepare_demo(out_uri: str) -> DemoCatalogue:
    """Build the catalogue of the 10,000 test images below `out_uri`, unless an earlier call did.

    The sample has its own place for results, so that the data set can be had later.
    """
    root = open_store(out_uri).uri.rstrip("/")
    catalogue_uri = f"{root}/catalogue"
    num_built, no_data = 0, None
    if not is_built(open_store(catalogue_uri)):
        try:
            built = build_catalogue(BuildSettings(source_uri="fashion-mnist-test", out_uri=catalogue_uri))
            num_built = built.num_rows
        except SourceError as error:
            catalogue_uri, no_data = str(sample_catalogue_path()), error.message
    return DemoCatalogue(
        catalogue_uri=catalogue_uri,
        results_uri=f"{root}/results" if no_data is None else f"{root}/results-of-sample",
        num_built=num_built,
        no_data=no_data,
    )
