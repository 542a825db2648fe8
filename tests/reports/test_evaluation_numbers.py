"""Curves, slices and comparisons, against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc

from fmnist_ray.reports.comparison import compare
from fmnist_ray.reports.curves import MAX_POINTS, class_curves, risk_coverage
from fmnist_ray.reports.slices import quarters, slice_accuracy


def answers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes that mean what they say, and true labels drawn from them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet([0.4, 0.4, 0.4], rows).astype(np.float32)
    draws = generator.random(rows)[:, None]
    return probabilities, (probabilities.cumsum(axis=1) < draws).sum(axis=1).clip(0, 2)


def test_thinned_curves_keep_their_area() -> None:
    probabilities, truth = answers(5_000)
    for found in class_curves(probabilities, truth):
        assert found is not None
        assert len(found.roc.x) <= MAX_POINTS + 1
        assert auc(found.roc.x, found.roc.y) == pytest.approx(found.auc, abs=2e-3)
        assert auc(found.precision_recall.x, found.precision_recall.y) == pytest.approx(
            found.average_precision, abs=5e-3
        )


def test_a_class_without_rows_has_no_curves() -> None:
    probabilities, truth = answers(200)
    found = class_curves(probabilities, np.where(truth == 2, 1, truth))
    assert found[2] is None
    assert found[0] is not None


def test_risk_at_full_coverage_is_the_error() -> None:
    probabilities, truth = answers(3_000)
    correct = probabilities.argmax(axis=1) == truth
    found = risk_coverage(probabilities.max(axis=1), correct)
    assert found.curve.x[-1] == 1
    assert found.curve.y[-1] == pytest.approx(1 - correct.mean(), abs=1e-5)
    coverages = [entry.coverage for entry in found.acceptance]
    assert coverages == sorted(coverages)
    for entry in found.acceptance:
        if entry.num_accepted:
            assert entry.num_wrong / entry.num_accepted <= entry.risk
            assert entry.risk_limit is not None
            assert entry.risk_limit <= entry.risk


def test_the_promised_risk_is_kept() -> None:
    """On fresh rows, the threshold's true risk is over the promise in at most one of twenty data sets."""
    probabilities, truth = answers(200_000, seed=99)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    broken = 0
    for seed in range(100):
        few, true = answers(800, seed=seed)
        (entry,) = (
            found
            for found in risk_coverage(few.max(axis=1), few.argmax(axis=1) == true).acceptance
            if found.risk == 0.05
        )
        if entry.threshold is not None:
            broken += (1 - correct[confidence >= entry.threshold].mean()) > 0.05
    assert broken <= 5


def test_ties_are_accepted_together() -> None:
    found = risk_coverage(np.full(10, 0.5, np.float32), np.arange(10) < 5)
    assert found.curve.x == (1.0,)
    assert found.curve.y == (0.5,)


def test_a_worse_slice_is_found_and_a_lucky_one_is_not() -> None:
    generator = np.random.default_rng(0)
    night = generator.random(4_000) < 0.2
    correct = generator.random(4_000) < np.where(night, 0.8, 0.93)
    kinds = {"light": np.where(night, "night", "day").tolist(), "id": [str(row % 40) for row in range(4_000)]}
    found = slice_accuracy(kinds, correct)
    assert {entry.value: entry.differs for entry in found if entry.kind == "light"} == {"day": True, "night": True}
    others = [entry for entry in found if entry.kind == "id"]
    assert not any(entry.differs for entry in others)
    assert len(others) == 13
    assert sum(entry.num_rows for entry in others) == 4_000


def test_quarters_are_of_one_size() -> None:
    names = quarters(np.random.default_rng(0).random(400), ("a", "b", "c", "d"))
    assert [names.count(name) for name in "abcd"] == [100] * 4


def test_comparison_counts_every_row_once() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    first = np.array([0, 1, 1, 1, 0, 2])
    second = np.array([0, 0, 1, 2, 1, 2])
    found = compare(truth, first, second)
    assert (found.num_both_right, found.num_only_first, found.num_only_second, found.num_both_wrong) == (3, 1, 1, 1)
    assert (found.num_flipped, found.difference, found.p_value) == (3, 0, 1)
    assert [(flip.first_id, flip.second_id, flip.num_gained, flip.num_lost) for flip in found.flips] == [
        (0, 1, 0, 0),
        (1, 0, 0, 1),
        (1, 2, 1, 0),
    ]


def test_mcnemar_is_exact() -> None:
    truth = np.zeros(20, np.int64)
    first, second = np.r_[np.zeros(18), 1, 1].astype(int), np.r_[np.ones(8), np.zeros(12)].astype(int)
    found = compare(truth, first, second)
    assert (found.num_only_first, found.num_only_second) == (8, 2)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 1024)


def test_the_interval_of_a_difference_covers_it() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        kind = generator.choice(4, 500, p=[0.85, 0.06, 0.03, 0.06])  # both, only first, only second, neither
        truth = np.zeros(500, np.int64)
        found = compare(truth, np.isin(kind, [2, 3]).astype(int), np.isin(kind, [1, 3]).astype(int))
        covered += found.difference_low <= 0.03 <= found.difference_high
    assert covered / 400 > 0.92
