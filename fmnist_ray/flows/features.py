"""A network's features of a catalogue, as a table that SVMs are fitted on: the batch run with another table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from fmnist_ray.catalogue.results import open_results
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.classify import RunSummary, classify
from fmnist_ray.flows.rounds import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesOutcome:
    """A committed table of features."""

    summary: RunSummary
    files: tuple[str, ...]
    """URIs of the Parquet files, for pyarrow, DuckDB and others."""


def extract_features(
    settings: ClassifySettings,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> FeaturesOutcome:
    """Write the features of every row, exactly once; resumes and refuses as `classify` does, and is quick when the
    table is there already."""
    if settings.table != "features":
        raise SettingError(f"A features run writes the table features, not {settings.table}.")
    summary = classify(settings, open_executor, on_progress=on_progress)
    return FeaturesOutcome(summary=summary, files=tuple(open_results(settings.out_uri).files("features")))
