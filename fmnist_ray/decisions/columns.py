"""Answers and decisions as columns of the predictions table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmnist_ray.decisions.decide import Answers
from fmnist_ray.decisions.rule import DECISION_OF, REASONS, Judgements
from fmnist_ray.schema import DECISION_COLUMNS, HEAD_COLUMNS, PHOTO_PROBLEMS, PREDICTIONS


class Answered(Protocol):
    """What is known of N rows once they are answered."""

    @property
    def answers(self) -> Answers: ...
    @property
    def cnn(self) -> Answers: ...
    @property
    def svm(self) -> Answers | None: ...
    @property
    def judgements(self) -> Judgements | None: ...


def answer_columns(labels: Sequence[str], found: Answered) -> dict[str, pa.Array]:
    """All that a prediction says of its image, by column of `schema.PREDICTIONS`. Batch runs, the Python interface and
    the endpoint get their columns here and nowhere else."""
    names = pa.array(labels, pa.string())
    label_ids = pa.array(found.answers.label_ids, pa.int16())
    return {
        "label": names.take(label_ids),
        "label_id": label_ids,
        "confidence": pa.array(found.answers.confidences, pa.float32()),
        **dict(zip(HEAD_COLUMNS, head_columns(names, found.cnn, found.svm), strict=True)),
        **dict(zip(DECISION_COLUMNS, decision_columns(names, found.answers, found.judgements), strict=True)),
    }


def head_columns(labels: pa.Array, cnn: Answers, svm: Answers | None) -> list[pa.Array]:
    """What each head said, in the order of `schema.HEAD_COLUMNS`; null for a head that is not there."""
    columns = [labels.take(pa.array(cnn.label_ids)), pa.array(cnn.confidences, pa.float32())]
    if svm is None:
        return [*columns, *(pa.nulls(len(cnn.label_ids), kind) for kind in (pa.string(), pa.float32(), pa.bool_()))]
    agree = pa.array(cnn.label_ids == svm.label_ids)
    return [*columns, labels.take(pa.array(svm.label_ids)), pa.array(svm.confidences, pa.float32()), agree]


def decision_columns(labels: pa.Array, answers: Answers, judgements: Judgements | None) -> list[pa.Array]:
    """What is to be done, in the order of `schema.DECISION_COLUMNS`; null without a rule."""
    num_rows = len(answers.label_ids)
    if judgements is None:
        return [pa.nulls(num_rows, PREDICTIONS.field(name).type) for name in DECISION_COLUMNS]
    decided = [pa.nulls(num_rows, pa.string())] * 2
    if judgements.reasons is not None:
        reasons = pa.array(judgements.reasons)
        decided = [
            pa.array([str(value) for value in values]).take(reasons)
            for values in ((DECISION_OF[reason] for reason in REASONS), REASONS)
        ]
    found = judgements.photo_problems
    return [
        *decided,
        _label_lists(labels, answers.probabilities, judgements.label_sets),
        pa.array(judgements.novelty, pa.float32()),
        pa.array(PHOTO_PROBLEMS).take(pa.array(found, mask=found < 0)),
    ]


def read_judgements(decided: pa.Table, labels: Sequence[str], alarm_rate: float) -> Judgements:
    """The inverse of `decision_columns` for rows that were judged with `alarm_rate`; `decided` has these columns."""
    columns = {name: decided.column(name).combine_chunks() for name in DECISION_COLUMNS}
    lists = columns["label_set"]
    sets = np.zeros((len(decided), len(labels)), np.bool_)
    sets[pc.list_parent_indices(lists).to_numpy(), _numbers(lists.flatten(), labels)] = True
    novelty = columns["novelty"].to_numpy()
    reasons = columns["decision_reason"]
    return Judgements(
        reasons=None if reasons.null_count else _numbers(reasons, REASONS).astype(np.int8),
        label_sets=sets,
        novelty=novelty,
        novel=novelty <= np.float32(alarm_rate),
        photo_problems=_numbers(columns["photo_problem"], PHOTO_PROBLEMS).astype(np.int8),
    )


def _numbers(texts: pa.Array, values: Sequence[str]) -> NDArray[np.int32]:
    """The place of each text among `values`, -1 for null."""
    places = pc.index_in(texts.cast(pa.string()), pa.array([str(value) for value in values]))
    return np.asarray(places.fill_null(-1).to_numpy())


def _label_lists(labels: pa.Array, probabilities: np.ndarray, sets: np.ndarray) -> pa.ListArray:
    """The labels of each row's set, the likeliest first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows, places = np.nonzero(np.take_along_axis(sets, order, axis=1))
    ends = np.cumsum(sets.sum(axis=1))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, labels.take(pa.array(order[rows, places])))
