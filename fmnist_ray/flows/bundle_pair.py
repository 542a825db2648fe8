"""Two bundles' answers to the same rows, one batch after the other: what a diff shows and a promotion is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmnist_ray.bundle.classifier import Classifier, load_bundle
from fmnist_ray.catalogue.reader import RowBatch
from fmnist_ray.catalogue.samples import Sample, SampleKeeper, row_orders
from fmnist_ray.config.bundles import PairSettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.decisions.rule import REASONS
from fmnist_ray.errors import BundleError, CatalogueError, ParityError, RefusedError, SettingError
from fmnist_ray.flows.rows import open_rows, true_label_ids
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.schema import SAMPLES, DecisionReason

_PER_FLIP = 7
_CONFIDENT = REASONS.index(DecisionReason.CONFIDENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One bundle's answers to n rows."""

    label_ids: NDArray[np.int64]
    """[n]"""
    confidences: NDArray[np.float64]
    """[n]: calibrated probability that the label is right"""
    accepted: NDArray[np.bool_] | None
    """[n]; None where the bundle promises no precision"""

    def take(self, rows: NDArray[np.bool_]) -> Side:
        """Some of the rows."""
        accepted = None if self.accepted is None else self.accepted[rows]
        return Side(label_ids=self.label_ids[rows], confidences=self.confidences[rows], accepted=accepted)

    @property
    def accepted_share(self) -> float | None:
        """Share of the rows that are accepted."""
        return None if self.accepted is None else float(self.accepted.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A bundle that has proven itself, and why it can't keep the promise, where it can't."""

    classifier: Classifier
    no_promise: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both bundles say of the rows that both can use."""

    before: Side
    after: Side
    truth: NDArray[np.int64]
    """[n]: true label id, -1 where a row has none that the bundles know"""
    num_rows: int
    """Rows that were read."""
    samples: pa.Table
    """Rows that flip, some of each pair of labels, as `schema.SAMPLES`; the label is the one after."""
    cells: list[object]
    """The images of the first rows, to measure speed with."""

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """[n]"""
        return np.asarray(self.truth >= 0)


def open_bundle(name_or_uri: str, min_precision: float | None) -> Opened:
    """The bundle with what is promised, or without where it can't promise that. Raises as `load_bundle`."""
    try:
        promises = Promises(min_precision=min_precision)
        return Opened(classifier=load_bundle(name_or_uri, runtime="cpu", promises=promises), no_promise=None)
    except ParityError:
        raise
    except (RefusedError, BundleError) as error:
        return Opened(classifier=load_bundle(name_or_uri, runtime="cpu"), no_promise=error.message)


def answer_both(
    settings: PairSettings,
    before: Classifier,
    after: Classifier,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    num_cells: int = 0,
) -> Pair:
    """Have both bundles answer every row. `SettingError` for bundles of different labels, `CatalogueError` where no
    image can be used."""
    if before.labels != after.labels:
        raise SettingError(f"{settings.before} and {settings.after} have different labels: they can't be compared.")
    source = open_rows(settings.data_uri, settings.columns)
    answers = _Answers(before, after, num_cells)
    for file, batch in source.batches():
        answers.add(file, batch)
        if on_progress is not None:
            on_progress(answers.num_rows, source.num_rows)
    if not answers.truth:
        raise CatalogueError(f"{settings.data_uri} has no image that can be used: name the column with --image-column.")
    return answers.pair()


class _Answers:
    """Collects what both bundles say."""

    def __init__(self, before: Classifier, after: Classifier, num_cells: int) -> None:
        self._classifiers = before, after
        self._num_cells = num_cells
        self._sides: tuple[list[Side], list[Side]] = [], []
        self._keeper = SampleKeeper(_PER_FLIP)
        self._cells: list[object] = []
        self.truth: list[NDArray[np.int64]] = []
        self.num_rows = 0

    def add(self, file: str, batch: RowBatch) -> None:
        """Answer a batch."""
        self.num_rows += len(batch)
        self._cells += batch.images[: self._num_cells - len(self._cells)]
        before, after = self._classifiers
        answered = before.answer(batch.images)
        found = [answered, answered if after is before else after.answer(batch.images)]
        positions = np.intersect1d(found[0].positions, found[1].positions)
        if not len(positions):
            return
        for sides, answers in zip(self._sides, found, strict=True):
            rows = np.isin(answers.positions, positions)
            judged = answers.judgements
            accepted = None if judged is None or judged.reasons is None else judged.reasons[rows] == _CONFIDENT
            confidences = answers.confidences[rows].astype(np.float64)
            label_ids = answers.label_ids[rows].astype(np.int64)
            sides.append(Side(label_ids=label_ids, confidences=confidences, accepted=accepted))
        self.truth.append(true_label_ids(batch, self._classifiers[0].labels)[positions])
        self._keep_flips(file, batch, positions)

    def _keep_flips(self, file: str, batch: RowBatch, positions: NDArray[np.int64]) -> None:
        before, after = self._sides[0][-1], self._sides[1][-1]
        flipped = np.flatnonzero(before.label_ids != after.label_ids)
        kinds = after.label_ids[flipped] * len(self._classifiers[0].labels) + before.label_ids[flipped]

        def describe(number: int) -> Sample:
            row = int(flipped[number])
            position, truth = int(positions[row]), int(self.truth[-1][row])
            return {
                "product_id": batch.ids[position].as_py(),
                "input_file": file,
                "input_row": batch.first_row + position,
                "label_id": int(after.label_ids[row]),
                "before_id": int(before.label_ids[row]),
                "confidence": float(after.confidences[row]),
                "true_label_id": truth if truth >= 0 else None,
                "cell": batch.images[position],
            }

        self._keeper.offer(kinds, row_orders(file, batch.first_row, len(batch))[positions[flipped]], describe)

    def pair(self) -> Pair:
        """All of it."""
        samples = self._keeper.chosen()
        limits = self._classifiers[0].limits
        for sample in samples:
            sample["thumbnail"] = thumbnail(sample.pop("cell"), limits)
        schema = SAMPLES.append(pa.field("before_id", pa.int16()))
        before, after = (_joined(sides) for sides in self._sides)
        return Pair(
            before=before,
            after=after,
            truth=np.concatenate(self.truth),
            num_rows=self.num_rows,
            samples=pa.Table.from_pylist(samples, schema),
            cells=self._cells,
        )


def _joined(sides: list[Side]) -> Side:
    accepted = [side.accepted for side in sides if side.accepted is not None]
    return Side(
        label_ids=np.concatenate([side.label_ids for side in sides]),
        confidences=np.concatenate([side.confidences for side in sides]),
        accepted=np.concatenate(accepted) if accepted else None,
    )
