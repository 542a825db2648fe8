"""Decisions as columns, and back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from fmnist_ray.decisions.columns import decision_columns, read_judgements
from fmnist_ray.decisions.decide import Answers
from fmnist_ray.decisions.rule import REASONS, Judgements
from fmnist_ray.schema import DECISION_COLUMNS, PHOTO_PROBLEMS

LABELS = tuple("ABCDEFG")


@pytest.mark.parametrize("num_rows", [0, 1, 400])
@pytest.mark.parametrize("promised", [True, False])
def test_judgements_come_back_as_they_were(num_rows: int, promised: bool) -> None:
    generator = np.random.default_rng(num_rows)
    probabilities = generator.dirichlet(np.ones(7), num_rows).astype(np.float32)
    novelty = generator.integers(1, 101, num_rows) / 100
    said = Judgements(
        reasons=generator.integers(0, len(REASONS), num_rows).astype(np.int8) if promised else None,
        label_sets=probabilities > 0.25,
        novelty=novelty.astype(np.float32),
        novel=novelty <= 0.1,
        photo_problems=generator.integers(-1, len(PHOTO_PROBLEMS), num_rows).astype(np.int8),
    )
    answers = Answers(probabilities.argmax(axis=1).astype(np.int16), novelty, probabilities)
    columns = decision_columns(pa.array(LABELS), answers, said)
    table = pa.table(dict(zip(DECISION_COLUMNS, columns, strict=True)))
    found = read_judgements(table, LABELS, 0.1)
    for field in dataclasses.fields(Judgements):
        if field.name != "reasons" or (promised or num_rows):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(said, field.name), field.name)
