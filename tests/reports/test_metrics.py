"""Metrics from counts, against scikit-learn's from rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from fmnist_ray.reports.metrics import class_metrics, confused_pairs, evaluate, interval, reliability_bins
from fmnist_ray.reports.statistics import RunStatistics

LABELS = 5

pairs = st.lists(st.tuples(st.integers(0, LABELS - 1), st.integers(0, LABELS - 1)), min_size=1, max_size=60)


@settings(deadline=None)
@given(pairs)
def test_agrees_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    true, predicted = np.array(rows).T
    statistics = RunStatistics.empty(LABELS)
    statistics.add_predictions(predicted, np.full(len(rows), 0.5), true)
    evaluation = evaluate(statistics)
    assert evaluation is not None
    assert evaluation.accuracy == accuracy_score(true, predicted)
    scores = precision_recall_fscore_support(true, predicted, labels=range(LABELS), zero_division=np.nan)
    ours = [
        [np.nan if value is None else value for value in (entry.precision, entry.recall, entry.f1, entry.num_true)]
        for entry in evaluation.classes
    ]
    np.testing.assert_allclose(np.array(ours).T, np.array(scores))
    assert evaluation.macro_f1 == pytest.approx(np.nanmean(scores[2]))


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 9), (9990, 10_000)])
def test_interval_is_exact_where_counts_are_small(successes: int, trials: int) -> None:
    exact = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert interval(successes, trials) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(("successes", "trials"), [(9_152, 10_000), (40, 80), (500, 1_000_000)])
def test_interval_is_wilsons_elsewhere(successes: int, trials: int) -> None:
    wilson = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert interval(successes, trials) == pytest.approx((wilson.low, wilson.high))


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = 0.915
    draws = np.random.default_rng(0).binomial(2_000, truth, size=2_000)
    covered = [low <= truth <= high for low, high in (interval(int(draw), 2_000) for draw in draws)]
    assert 0.935 < np.mean(covered) < 0.965


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 3)])
def test_interval_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="No interval"):
        interval(successes, trials)


def test_calibration_error_is_that_of_the_rows() -> None:
    generator = np.random.default_rng(1)
    confidence = generator.beta(6, 1, size=5_000)
    correct = generator.random(5_000) < confidence**2
    statistics = RunStatistics.empty(2)
    statistics.add_predictions(correct.astype(int), confidence, np.ones(5_000, int))
    bins = np.minimum((confidence * 10).astype(int), 9)
    expected = sum(
        abs(confidence[bins == number].mean() - correct[bins == number].mean()) * (bins == number).mean()
        for number in np.unique(bins)
    )
    evaluation = evaluate(statistics)
    assert evaluation is not None
    assert evaluation.expected_calibration_error == pytest.approx(expected, abs=1e-6)


def test_reliability_bins_name_their_edges_and_leave_empty_ones_undefined() -> None:
    statistics = RunStatistics.empty(2)
    statistics.add_predictions([0, 0, 1], [0.93, 0.97, 0.31], [0, 1, 1])
    bins = reliability_bins(statistics)
    assert [entry.num_labelled for entry in bins] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    assert (bins[9].low, bins[9].high) == (0.9, 1.0)
    assert (bins[9].mean_confidence, bins[9].accuracy) == (pytest.approx(0.95), 0.5)
    assert bins[0].accuracy is None
    assert bins[0].mean_confidence is None


def test_confused_pairs_come_worst_first() -> None:
    confusion = np.array([[8, 2, 0], [5, 5, 0], [0, 2, 0]])
    found = [(pair.true_id, pair.predicted_id, pair.num_rows, pair.share) for pair in confused_pairs(confusion)]
    assert found == [(1, 0, 5, 0.5), (0, 1, 2, 0.2), (2, 1, 2, 1.0)]


def test_a_class_that_never_occurs_has_no_figures() -> None:
    absent = class_metrics(np.array([[3, 0], [0, 0]]))[1]
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)


def test_without_labels_there_is_no_evaluation() -> None:
    statistics = RunStatistics.empty(2)
    statistics.add_predictions([0, 1], [0.5, 0.6])
    assert evaluate(statistics) is None
