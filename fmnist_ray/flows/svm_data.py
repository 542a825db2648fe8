"""Which rows of a feature table an SVM is fitted on, and which judge it: the same split that the network had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmnist_ray.bundle.format import Bundle
from fmnist_ray.catalogue.feature_rows import FeatureFile, FeatureRows
from fmnist_ray.catalogue.reader import read_cells
from fmnist_ray.config.svm import SvmSearch
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import InputError
from fmnist_ray.flows.split import split_rows
from fmnist_ray.heads.search import LabelledFeatures
from fmnist_ray.heads.streaming import Batches
from fmnist_ray.labels import Labels, label_index
from fmnist_ray.store import open_store

_BATCH = 4_096
_FILES_AT_ONCE = 8
"""Data files whose rows are mixed: a table that is sorted by class still gives batches of many classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SvmRows:
    """A feature table with its labels, cut in parts."""

    table: FeatureRows
    labels: NDArray[np.int64]
    """Label id of every row of the table, -1 where it has none."""
    train: NDArray[np.int64]
    """Row numbers, ascending; so are the other two."""
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    """Empty where the test rows are in a table of their own."""

    def load(self, rows: NDArray[np.int64]) -> LabelledFeatures:
        """Rows by their numbers, in memory."""
        return LabelledFeatures(features=self.table.take(rows).features, labels=self.labels[rows])

    def batches(self, seed: int) -> Batches:
        """The training rows as a stream: in the table's order, then shuffled anew in every epoch."""
        chosen = np.zeros(len(self.labels), bool)
        chosen[self.train] = True

        def stream(epoch: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
            generator = np.random.default_rng([seed, epoch])
            files = np.arange(len(self.table.spans))
            files = generator.permutation(files) if epoch else files
            for start in range(0, len(files), _FILES_AT_ONCE):
                yield from self._mixed(files[start : start + _FILES_AT_ONCE], chosen, generator)

        return stream

    def files(self, rows: NDArray[np.int64]) -> Iterator[tuple[FeatureFile, NDArray[np.int64]]]:
        """Those of `rows` that each data file holds, and their labels."""
        for span in self.table.spans:
            inside = rows[(rows >= span.start) & (rows < span.stop)]
            if len(inside):
                yield self.table.take(inside), self.labels[inside]

    def _mixed(
        self, files: NDArray[np.int64], chosen: NDArray[np.bool_], generator: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The chosen rows of some files in batches, in a random order."""
        masks = [chosen[self.table.spans[number]] for number in files]
        features = np.concatenate(
            [self.table.read(number).features[mask] for number, mask in zip(files, masks, strict=True)]
        )
        labels = np.concatenate([self.labels[self.table.spans[number]] for number in files])[np.concatenate(masks)]
        order = generator.permutation(len(labels))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            yield features[rows], labels[rows]


def split_table(table: FeatureRows, bundle: Bundle, *, folds: int, test_apart: bool) -> SvmRows:
    """Cut a table as the training of the bundle's network cut its data, so that no row which the network was trained on
    is among those that judge the SVM, provided that the table's catalogue is the one that the network was trained on.
    Any other catalogue is cut the same way, which is as good as any.

    `test_apart`: the catalogue has no test rows. Raises `InputError` where a class has too few rows for `folds`.
    """
    settings = TrainSettings.from_dict(bundle.spec.provenance.get("settings", {}))
    labels = table.label_ids()
    needed = folds + (2 if test_apart else 3)
    _check_classes(labels[labels >= 0], bundle.spec.labels, needed=needed, uri=table.uri)
    every, groups = _catalogue_cells(table, bundle.spec.labels, settings.source.group_column)
    numbers = table.catalogue_rows()
    every[numbers] = labels
    labelled = np.flatnonzero(every >= 0)
    parts = split_rows(settings, every[labelled], groups[labelled], test=not test_apart)
    kept = labels >= 0
    train, validation, test = (np.flatnonzero(np.isin(numbers, labelled[part]) & kept) for part in parts)
    return SvmRows(table=table, labels=labels, train=train, validation=validation, test=test)


def _catalogue_cells(
    table: FeatureRows, labels: Labels, group_column: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Label id (-1 where there is none) and group number of every row of the table's catalogue, rejects among them: a
    network's data is split before its images are read."""
    plan = table.plan()
    store, label_column = open_store(plan.catalogue_uri), plan.columns["label"]
    wanted = [name for name in (label_column, group_column) if name is not None]
    tables = [read_cells(store, file, wanted) for file in plan.inputs]
    index = label_index(labels)
    spellings, ids_by_spelling = pa.array(list(index), pa.string()), np.array([*index.values(), -1])
    found = [pc.index_in(part.column(label_column).cast(pa.string()), spellings) for part in tables]
    ids = np.concatenate([ids_by_spelling[pc.fill_null(part, -1).to_numpy()] for part in found])
    if group_column is None:
        return ids, np.arange(len(ids))
    numbers: dict[object, int] = {}
    groups = [
        numbers.setdefault(cell, len(numbers)) for part in tables for cell in part.column(group_column).to_pylist()
    ]
    return ids, np.array(groups, np.int64)


def search_rows(rows: SvmRows, search: SvmSearch) -> NDArray[np.int64]:
    """About `search.rows` training rows, of each class in proportion to its size, and at least one for each fold."""
    limit, seed = search.rows, search.seed
    if len(rows.train) <= limit:
        return rows.train
    share = limit / len(rows.train)
    generator = np.random.default_rng(seed)
    labels = rows.labels[rows.train]
    chosen = []
    for label in np.unique(labels):
        of_class = rows.train[labels == label]
        chosen.append(generator.permutation(of_class)[: max(search.folds, round(share * len(of_class)))])
    return np.sort(np.concatenate(chosen))


def _check_classes(labels: NDArray[np.int64], names: Labels, *, needed: int, uri: str) -> None:
    if not len(labels):
        raise InputError(f"No row of {uri} has one of the bundle's labels: name the column with --label-column.")
    counts = np.bincount(labels, minlength=len(names))
    rare = int(counts.argmin())
    if counts[rare] < needed:
        rows = "1 row" if counts[rare] == 1 else f"{counts[rare]} rows"
        raise InputError(
            f"Class {names[rare]!r} has {rows} in {uri}; an SVM of {len(names)} classes needs at least {needed} of "
            "each to be fitted and judged: add some."
        )
