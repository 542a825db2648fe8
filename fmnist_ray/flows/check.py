"""Checking a catalogue before a run."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_ray.catalogue.inspect import CatalogueFacts, inspect_catalogue
from fmnist_ray.config.classify import ColumnNames


def check_catalogue(uri: str, columns: ColumnNames, image_prefixes: Sequence[str] = ()) -> CatalogueFacts:
    """What a run over `uri` would see. `CatalogueError` where it would refuse; see `catalogue.inspect`."""
    return inspect_catalogue(uri, columns, image_prefixes)
