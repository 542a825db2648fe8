"""Where a fit has its features from: a table, a catalogue, or Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Callable

from fmnist_ray.bundle.format import Bundle
from fmnist_ray.catalogue.build import is_built
from fmnist_ray.config.catalogue import BuildSettings
from fmnist_ray.config.classify import ClassifySettings, ColumnNames
from fmnist_ray.config.svm import FitSettings
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.flows.build import build_catalogue
from fmnist_ray.store import open_store

ExtractFeatures = Callable[[ClassifySettings], object]
"""Runs a features job to its commit; quick where the table is there."""


def find_features(settings: FitSettings, bundle: Bundle, extract: ExtractFeatures) -> list[str]:
    """The table to fit on, and where there is one the table of test rows. What is missing is written to `work_uri`."""
    if settings.features_uri:
        return [settings.features_uri]
    if settings.catalogue_uri:
        return [_extracted(settings, settings.catalogue_uri, "features", extract, _columns(bundle))]
    tables = []
    for part in ("train", "test"):
        catalogue_uri = open_store(f"{settings.work_uri}/{part}").uri
        if not is_built(open_store(catalogue_uri)):
            build_catalogue(BuildSettings(source_uri=f"fashion-mnist-{part}", out_uri=catalogue_uri))
        tables.append(_extracted(settings, catalogue_uri, f"{part}-features", extract, ColumnNames()))
    return tables


def _columns(bundle: Bundle) -> ColumnNames:
    """The columns that the bundle's network was trained on, where it was trained on a catalogue."""
    source = TrainSettings.from_dict(bundle.spec.provenance.get("settings", {})).source
    if source.catalogue_uri is None:
        return ColumnNames()
    return ColumnNames(image=source.image_column, label=source.label_column)


def _extracted(
    settings: FitSettings, catalogue_uri: str, name: str, extract: ExtractFeatures, columns: ColumnNames
) -> str:
    out_uri = open_store(f"{settings.work_uri}/{name}").uri
    extract(
        ClassifySettings(
            catalogue_uri=catalogue_uri,
            out_uri=out_uri,
            bundle=settings.bundle,
            columns=columns,
            table="features",
            replace=True,
        )
    )
    return out_uri
