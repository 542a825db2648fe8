"""Building a catalogue from whatever form the images have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fmnist_ray.catalogue.build import WrittenCatalogue, write_catalogue
from fmnist_ray.catalogue.build_files import is_file, open_source
from fmnist_ray.catalogue.build_folder import folder_batches, survey_folder
from fmnist_ray.catalogue.build_idx import IMAGES_MAGIC, idx_batches, labels_beside
from fmnist_ray.catalogue.build_kaggle import kaggle_batches
from fmnist_ray.catalogue.build_pixels import pixels_batch
from fmnist_ray.config.catalogue import BuildSettings, SourceFormat
from fmnist_ray.datasets.fashion_mnist import Split, fetch, load_split, split_paths
from fmnist_ray.datasets.shipped import SAMPLE_PER_CLASS
from fmnist_ray.errors import CatalogueError, SettingError
from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.store import open_store

NAMED_SOURCES: dict[str, Split] = {"fashion-mnist-train": "train", "fashion-mnist-test": "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCatalogue:
    """A catalogue that was built."""

    catalogue_uri: str
    format: SourceFormat
    num_rows: int
    num_files: int
    size_bytes: int
    labelled: bool
    """Whether it has a column of labels."""
    num_others: int
    """Files of a folder that were left out, since they are no images."""
    elapsed_s: float


def build_catalogue(settings: BuildSettings) -> BuiltCatalogue:
    """Write the source's images as Parquet files with `product_id`, `image` and, where known, `label`.

    Raises `CatalogueError` for a source that can't be used, `RefusedError` for a place that holds a catalogue,
    `SourceError` where Fashion-MNIST was named and can't be had.
    """
    started = time.monotonic()
    format_, batches, num_others = _open(settings)
    store = open_store(settings.out_uri)
    written = write_catalogue(batches, store, rows_per_file=settings.rows_per_file, replace=settings.replace)
    return _built(store.uri, format_, written, num_others, time.monotonic() - started)


def build_sample(out_uri: str) -> BuiltCatalogue:
    """The sample that ships with the package, anew from the data set: the first 100 test images of each class."""
    started = time.monotonic()
    images, labels = load_split("test")
    classes = range(len(FASHION_MNIST))
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:SAMPLE_PER_CLASS] for label in classes]))
    batches = (pixels_batch("t10k", int(row), images[row : row + 1], labels[row : row + 1]) for row in rows)
    store = open_store(out_uri)
    written = write_catalogue(batches, store, rows_per_file=len(rows), replace=False)
    return _built(store.uri, "idx", written, 0, time.monotonic() - started)


def _built(
    uri: str, format_: SourceFormat, written: WrittenCatalogue, num_others: int, elapsed_s: float
) -> BuiltCatalogue:
    return BuiltCatalogue(
        catalogue_uri=uri,
        format=format_,
        num_rows=written.num_rows,
        num_files=written.num_files,
        size_bytes=written.size_bytes,
        labelled=written.labelled,
        num_others=num_others,
        elapsed_s=elapsed_s,
    )


def _open(settings: BuildSettings) -> tuple[SourceFormat, Iterator[pa.RecordBatch], int]:
    """The source's format, its rows, and the number of files left out."""
    source = settings.source_uri
    if split := NAMED_SOURCES.get(source):
        if settings.by_name:
            raise SettingError(f"--by-name goes with a folder of image files; {source} is a data set.")
        images, labels = split_paths(split, fetch().folder)
        return "idx", idx_batches(str(images), str(labels)), 0
    format_ = settings.format or _detected(source)
    if settings.labels_uri is not None and format_ != "idx":
        raise SettingError(f"--labels goes with idx images; {source} is taken as {format_}.")
    if settings.by_name and format_ != "folder":
        raise SettingError(f"--by-name goes with a folder of image files; {source} is taken as {format_}.")
    if format_ == "folder":
        store = open_store(source)
        survey = survey_folder(store)
        return format_, folder_batches(store, survey, by_name=settings.by_name), survey.num_others
    if format_ == "kaggle-csv":
        return format_, kaggle_batches(source), 0
    beside = labels_beside(source)
    labels_uri = settings.labels_uri or (beside if beside and is_file(beside) else None)
    return format_, idx_batches(source, labels_uri), 0


def _detected(source: str) -> SourceFormat:
    if not is_file(source):
        return "folder"
    if source.removesuffix(".gz").endswith(".csv"):
        return "kaggle-csv"
    with open_source(source) as stream:
        if stream.read(4) == IMAGES_MAGIC:
            return "idx"
    raise CatalogueError(
        f"{source} is neither a file of idx images nor a .csv: name one of these or a folder, or set --format."
    )
