"""The rows of a catalogue, or of a split of Fashion-MNIST, for commands that look at data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.build_pixels import pixels_batch
from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.catalogue.plan import InputFile, Shard
from fmnist_ray.catalogue.reader import RowBatch, inspect_inputs, list_inputs, read_rows
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.datasets.fashion_mnist import Split, load_split
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.build import NAMED_SOURCES
from fmnist_ray.labels import Labels, known_label_ids, label_index
from fmnist_ray.store import Store

_BATCH_ROWS = 1_000
_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """Rows that can be read once or several times, in order."""

    name: str
    """As the user named it."""
    num_rows: int
    columns: Columns
    store: Store | None
    inputs: tuple[InputFile, ...]
    split: Split | None
    """A split of Fashion-MNIST instead of files."""
    image_prefixes: tuple[str, ...]
    """Places below which images may lie that cells name."""

    def batches(self) -> Iterator[tuple[str, RowBatch]]:
        """Name of the file, and the next of its rows; images that cells name are fetched."""
        if self.split is not None:
            for batch in _split_batches(self.split):
                yield self.name, batch
            return
        assert self.store is not None
        fetcher = ImageFetcher(self.store.uri, self.image_prefixes, max_bytes=ImageLimits().max_bytes)
        for number, file in enumerate(self.inputs):
            shard = Shard(id="", file=number, start=0, stop=file.num_rows)
            for batch in fetcher.fetched(read_rows(self.store, file, shard, self.columns)):
                yield file.key, batch


def open_rows(uri: str, names: ColumnNames | None = None, *, image_prefixes: tuple[str, ...] = ()) -> RowSource:
    """The rows of the catalogue at `uri`, or of `fashion-mnist-train` or `fashion-mnist-test`. Images that its cells
    name may lie below `image_prefixes`; without any, in the catalogue's own place.

    Raises `CatalogueError` where there is no catalogue or it lacks a column, `SourceError` where Fashion-MNIST can't
    be had.
    """
    names = names or ColumnNames()
    if split := NAMED_SOURCES.get(uri):
        if names.keep:
            raise SettingError(f"{uri} has no column {names.keep[0]!r}: it has images and labels only.")
        columns = Columns(id="product_id", image="image", label="label", keep=())
        num_rows = len(load_split(split)[1])
        return RowSource(
            name=uri, num_rows=num_rows, columns=columns, store=None, inputs=(), split=split, image_prefixes=()
        )
    store, infos = list_inputs(uri)
    inputs, columns = inspect_inputs(store, infos, names, fetches=True)
    num_rows = sum(file.num_rows for file in inputs)
    return RowSource(
        name=uri,
        num_rows=num_rows,
        columns=columns,
        store=store,
        inputs=tuple(inputs),
        split=None,
        image_prefixes=image_prefixes,
    )


def true_label_ids(batch: RowBatch, labels: Labels) -> NDArray[np.int64]:
    """Label id of every row, -1 where its label is none of `labels`, or where there is none."""
    if batch.labels is None:
        return np.full(len(batch), -1)
    return np.array(known_label_ids(batch.labels, label_index(labels)), np.int64)


def _split_batches(split: Split) -> Iterator[RowBatch]:
    """The rows that `catalogue build` makes of the split."""
    images, labels = load_split(split)
    for start in range(0, len(images), _BATCH_ROWS):
        part = slice(start, start + _BATCH_ROWS)
        rows = pixels_batch(_PREFIXES[split], start, images[part], labels[part])
        yield RowBatch(
            first_row=start,
            images=rows.column("image").to_pylist(),
            ids=rows.column("product_id"),
            labels=rows.column("label").to_pylist(),
            kept=[],
        )
