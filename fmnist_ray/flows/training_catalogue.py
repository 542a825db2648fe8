"""A labelled catalogue as training data: its classes, which rows are held out, and its images, all in memory or, where
there are too many, the held-out ones in memory and the others streamed anew in each epoch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.columns import Columns
from fmnist_ray.catalogue.plan import InputFile, Shard
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs, read_cells, read_rows
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.errors import CatalogueError
from fmnist_ray.flows.split import Rows, split_rows
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import Labels
from fmnist_ray.networks.data import LabelledImages, StreamedImages
from fmnist_ray.store import open_store

_SHUFFLE_SEED = 0
_MIN_PER_LABEL = 3
"""One image each for training, validation and test."""
_MEMORY_SHARE = 0.25
"""Of this machine's memory that images may take; the driver, the object store and a worker hold a copy each."""
_HELD_OUT_IMAGES = 20_000
"""Validation and test images of a streamed catalogue, at most: enough to know an accuracy of 90 % to 0.4 points."""
_PART_ROWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueImages:
    """The images of a catalogue in three parts that share no group."""

    labels: Labels
    train: LabelledImages | StreamedImages
    validation: LabelledImages
    test: LabelledImages
    num_unlabelled: int
    """Rows that are left out because their label is null."""
    num_rejects: int
    """Images that were read and can't be used."""


def load_catalogue(settings: TrainSettings) -> CatalogueImages:
    """Read, split and prepare the catalogue that `settings` name; `CatalogueError` where nothing can be learnt."""
    source = settings.source
    assert source.catalogue_uri is not None
    store, infos = list_inputs(source.catalogue_uri)
    keep = (source.group_column,) if source.group_column else ()
    names = ColumnNames(image=source.image_column, label=source.label_column, keep=keep)
    inputs, columns = inspect_inputs(store, infos, names)
    catalogue = _Catalogue(uri=store.uri, inputs=inputs, columns=columns, preparation=source.preparation)
    labels, label_ids, groups = catalogue.cells(source)
    labelled = np.flatnonzero(label_ids >= 0)
    num_unlabelled = len(label_ids) - len(labelled)
    parts = _split(settings, labels, label_ids[labelled], groups[labelled])
    train, validation, test = (labelled[rows] for rows in parts)
    if _is_streamed(source, len(labelled)):
        pieces = catalogue.parts(label_ids, train)
        shuffled = [pieces[number] for number in np.random.default_rng(settings.seed).permutation(len(pieces))]
        streamed = StreamedImages(
            labels=label_ids[train], num_parts=len(pieces), load=_Load(catalogue=catalogue, parts=shuffled)
        )
        validation, test = validation[:_HELD_OUT_IMAGES], test[:_HELD_OUT_IMAGES]
        held = _read(catalogue, label_ids, np.concatenate([validation, test]))
        return CatalogueImages(
            labels=labels,
            train=streamed,
            validation=held.take(validation),
            test=held.take(test),
            num_unlabelled=num_unlabelled,
            num_rejects=held.num_rejects,
        )
    every = _read(catalogue, label_ids, labelled)
    return CatalogueImages(
        labels=labels,
        train=every.take(train),
        validation=every.take(validation),
        test=every.take(test),
        num_unlabelled=num_unlabelled,
        num_rejects=every.num_rejects,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Consecutive rows of one file."""

    file: InputFile
    start: int
    """In the file."""
    first_row: int
    """In the catalogue."""
    label_ids: NDArray[np.int64]
    """Class number of every row, -1 where the row is not wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Catalogue:
    """The files of a catalogue and how its images are prepared; may be sent to any process."""

    uri: str
    inputs: Sequence[InputFile]
    columns: Columns
    preparation: Preparation

    def cells(self, source: TrainingSource) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
        """The classes in the order of their names, and class (-1 where it is null) and group number of every row;
        without reading images."""
        store = open_store(self.uri)
        wanted = [name for name in (source.label_column, source.group_column) if name is not None]
        tables = [read_cells(store, file, wanted) for file in self.inputs]
        names = [name for table in tables for name in table.column(source.label_column).to_pylist()]
        labels, label_ids = _number([None if name is None else str(name) for name in names], source.label_column)
        if source.group_column is None:
            return labels, label_ids, np.arange(len(label_ids))
        numbers: dict[object, int] = {}
        cells = (cell for table in tables for cell in table.column(source.group_column).to_pylist())
        return labels, label_ids, np.array([numbers.setdefault(cell, len(numbers)) for cell in cells], np.int64)

    def parts(self, label_ids: NDArray[np.int64], rows: Rows) -> list[_Part]:
        """Where the rows are, in parts of bounded size; parts without any of them are left out."""
        wanted = np.full(len(label_ids), -1, np.int64)
        wanted[rows] = label_ids[rows]
        parts, first_row = [], 0
        for file in self.inputs:
            for start in range(0, file.num_rows, _PART_ROWS):
                stop = min(start + _PART_ROWS, file.num_rows)
                part = wanted[first_row + start : first_row + stop]
                if (part >= 0).any():
                    parts.append(_Part(file=file, start=start, first_row=first_row + start, label_ids=part))
            first_row += file.num_rows
        return parts

    def images(self, part: _Part) -> Iterator[tuple[Rows, LabelledImages]]:
        """The wanted rows of a part whose image can be used, and their images, in pieces."""
        shard = Shard(id="", file=0, start=part.start, stop=part.start + len(part.label_ids))
        for batch in read_rows(open_store(self.uri), part.file, shard, self.columns):
            offset = batch.first_row - part.start
            wanted = np.flatnonzero(part.label_ids[offset : offset + len(batch)] >= 0)
            prepared = prepare_batch([batch.images[row] for row in wanted], self.preparation, ImageLimits())
            usable = offset + wanted[prepared.positions]
            images = LabelledImages(pixels=prepared.pixels, labels=part.label_ids[usable])
            yield part.first_row + usable, images


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """Loads parts for `StreamedImages`."""

    catalogue: _Catalogue
    parts: Sequence[_Part]

    def __call__(self, number: int) -> Iterator[LabelledImages]:
        for _, images in self.catalogue.images(self.parts[number]):
            yield images


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """Images in memory, and which rows they are of."""

    images: LabelledImages
    rows: Rows
    num_rejects: int

    def take(self, rows: Rows) -> LabelledImages:
        """Those of the given rows that can be used."""
        return self.images.take(np.flatnonzero(np.isin(self.rows, rows)))


def _read(catalogue: _Catalogue, label_ids: NDArray[np.int64], rows: Rows) -> _Held:
    read = [piece for part in catalogue.parts(label_ids, rows) for piece in catalogue.images(part)]
    found = np.concatenate([numbers for numbers, _ in read])
    if not len(found):
        raise CatalogueError(f"{catalogue.uri} has no row with a usable image.")
    pixels = np.concatenate([images.pixels for _, images in read])
    images = LabelledImages(pixels=pixels, labels=label_ids[found])
    return _Held(images=images, rows=found, num_rejects=len(rows) - len(found))


def _number(names: list[str | None], column: str) -> tuple[Labels, NDArray[np.int64]]:
    """The classes in the order of their names, and the class number of every row, -1 where it has none."""
    counts = Counter(name for name in names if name is not None)
    labels = tuple(sorted(counts))
    if len(labels) < 2:
        only = f"one class only ({labels[0]!r})" if labels else "no label"
        raise CatalogueError(f"Column {column!r} has {only}: there is nothing to learn.")
    if rare := [name for name in labels if counts[name] < _MIN_PER_LABEL]:
        raise CatalogueError(
            f"Class {rare[0]!r} of column {column!r} has {counts[rare[0]]} images; training, validation and test need "
            f"at least one each: give every class {_MIN_PER_LABEL} or more."
        )
    index: dict[str | None, int] = {name: number for number, name in enumerate(labels)}
    return labels, np.array([index.get(name, -1) for name in names], np.int64)


def _split(
    settings: TrainSettings, labels: Labels, label_ids: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Rows, Rows, Rows]:
    """Rows to train on, to validate on, and to test on; the latter two in random order."""
    train, validation, test = split_rows(settings, label_ids, groups, test=True)
    if missing := sorted(set(range(len(labels))) - set(label_ids[train].tolist())):
        raise CatalogueError(
            f"Class {labels[missing[0]]!r} is in too few groups of column {settings.source.group_column!r} to be "
            "trained on and held out: add images of other groups, or leave the class out."
        )
    shuffled = np.random.default_rng(_SHUFFLE_SEED).permutation
    return train, shuffled(validation), shuffled(test)


def _is_streamed(source: TrainingSource, num_rows: int) -> bool:
    if source.stream != "auto":
        return source.stream == "always"
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return num_rows * source.channels * source.size**2 > _MEMORY_SHARE * memory_bytes
