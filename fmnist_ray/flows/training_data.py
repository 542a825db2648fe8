"""What a network is trained on: Fashion-MNIST, or a user's labelled catalogue with classes of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.catalogue.plan import Shard
from fmnist_ray.catalogue.reader import inspect_inputs, list_inputs, read_rows
from fmnist_ray.config.classify import ColumnNames
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.config.train import TrainingSource, TrainSettings
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.errors import CatalogueError
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import FASHION_MNIST, Labels
from fmnist_ray.networks.data import LabelledImages

_TEST_SHARE = 0.15
"""Of a catalogue, which has no test images of its own."""
_TEST_SEED = 0
"""Fixed, so that no choice of a training seed is a choice of test images."""
_MIN_PER_LABEL = 3
"""One image each for training, validation and test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Images in three parts that share no group."""

    labels: Labels
    preparation: Preparation
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    description: dict[str, Any]
    """For the model card."""


def load_training_data(settings: TrainSettings) -> TrainingData:
    """The data that `settings` name, split by their seed."""
    if settings.source.catalogue_uri is None:
        return _fashion_mnist(settings)
    return _catalogue(settings, settings.source)


def stratified_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions kept and positions held out, ascending: `share` of each class, at least one row, is held out.

    Rows of one group go together, so that classes may get a few rows more; with a group of its own for every row the
    shares are exact.
    """
    generator = np.random.default_rng(seed)
    by_group = np.argsort(groups, kind="stable")
    first = np.searchsorted(groups[by_group], groups, "left")
    last = np.searchsorted(groups[by_group], groups, "right")
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        positions = generator.permutation(np.flatnonzero(labels == label))
        missing = max(1, round(share * len(positions))) - int(held[positions].sum())
        for position in positions:
            if missing <= 0:
                break
            if not held[position]:
                rows = by_group[first[position] : last[position]]
                held[rows] = True
                missing -= int((labels[rows] == label).sum())
    return np.flatnonzero(~held), np.flatnonzero(held)


def _fashion_mnist(settings: TrainSettings) -> TrainingData:
    pixels, labels = load_split("train")
    images = LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64))
    pixels, labels = load_split("test")
    kept, held = stratified_split(
        images.labels, np.arange(len(images.labels)), settings.validation_share, settings.seed
    )
    return TrainingData(
        labels=FASHION_MNIST,
        preparation=Preparation(),
        train=images.take(kept),
        validation=images.take(held),
        test=LabelledImages(pixels=pixels[:, None], labels=labels.astype(np.int64)),
        description={"data": "Fashion-MNIST", "num_train": len(kept)},
    )


def _catalogue(settings: TrainSettings, source: TrainingSource) -> TrainingData:
    """Read, prepare and split a catalogue. Rows whose image is rejected are left out and counted."""
    preparation = Preparation(size=source.size, channels=source.channels)
    pixels, names, groups, num_rejects = _read(source, preparation)
    labels, label_ids = _number(names, source.label_column)
    images = LabelledImages(pixels=pixels, labels=label_ids)
    rest, test = stratified_split(images.labels, groups, _TEST_SHARE, _TEST_SEED)
    kept, held = stratified_split(images.labels[rest], groups[rest], settings.validation_share, settings.seed)
    if missing := sorted(set(range(len(labels))) - set(images.labels[rest[kept]].tolist())):
        raise CatalogueError(
            f"Class {labels[missing[0]]!r} is in too few groups of column {source.group_column!r} to be trained on and "
            "held out: add images of other groups, or leave the class out."
        )
    return TrainingData(
        labels=labels,
        preparation=preparation,
        train=images.take(rest[kept]),
        validation=images.take(rest[held]),
        test=images.take(test),
        description={
            "data": source.catalogue_uri,
            "label_column": source.label_column,
            "group_column": source.group_column or "none",
            "num_train": len(kept),
            "num_rejects": num_rejects,
        },
    )


def _number(names: list[str | None], column: str) -> tuple[Labels, NDArray[np.int64]]:
    """The classes in the order of their names, and the class number of every row."""
    given = [name for name in names if name is not None]
    if missing := len(names) - len(given):
        raise CatalogueError(
            f"Column {column!r} has no label in {missing} of {len(names)} rows: fill them in, or leave the rows out."
        )
    counts = Counter(given)
    labels = tuple(sorted(counts))
    if len(labels) < 2:
        raise CatalogueError(f"Column {column!r} has one class only ({labels[0]!r}): there is nothing to learn.")
    if rare := [name for name in labels if counts[name] < _MIN_PER_LABEL]:
        raise CatalogueError(
            f"Class {rare[0]!r} of column {column!r} has {counts[rare[0]]} images; training, validation and test need "
            f"at least one each: give every class {_MIN_PER_LABEL} or more."
        )
    index = {name: number for number, name in enumerate(labels)}
    return labels, np.array([index[name] for name in given], np.int64)


def _read(
    source: TrainingSource, preparation: Preparation
) -> tuple[NDArray[np.uint8], list[str | None], NDArray[np.int64], int]:
    """Pixels, label cells and group numbers of the rows whose image is usable, and the number of the others."""
    assert source.catalogue_uri is not None
    store, infos = list_inputs(source.catalogue_uri)
    keep = (source.group_column,) if source.group_column else ()
    names = ColumnNames(image=source.image_column, label=source.label_column, keep=keep)
    inputs, columns = inspect_inputs(store, infos, names)
    pixels: list[NDArray[np.uint8]] = []
    labels: list[str | None] = []
    groups: dict[Any, int] = {}
    numbers: list[int] = []
    num_rows = num_rejects = 0
    for number, file in enumerate(inputs):
        for batch in read_rows(store, file, Shard(id="", file=number, start=0, stop=file.num_rows), columns):
            prepared = prepare_batch(batch.images, preparation, ImageLimits())
            pixels.append(prepared.pixels)
            num_rejects += len(prepared.rejects)
            cells = batch.kept[0].to_pylist() if keep else range(num_rows, num_rows + len(batch))
            num_rows += len(batch)
            for position in prepared.positions.tolist():
                cell = None if batch.labels is None else batch.labels[position]
                labels.append(None if cell is None else str(cell))
                numbers.append(groups.setdefault(cells[position], len(groups)))
    if not labels:
        raise CatalogueError(f"{source.catalogue_uri} has no row with a usable image.")
    return np.concatenate(pixels), labels, np.array(numbers, np.int64), num_rejects
