"""Two heads, one answer: calibration, combination, choice, and classes from pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import make_blobs
from sklearn.svm import SVC

from fmnist_ray.decisions.calibration import expected_calibration_error
from fmnist_ray.decisions.heads import HeadRule, decide_heads, fit_rule
from fmnist_ray.decisions.pairwise import class_pairs, pairwise_labels, pairwise_margins
from fmnist_ray.errors import BundleError


def scores(num_rows: int, spread: float, seed: int) -> np.ndarray:
    """Scores of five classes whose true class is the row number modulo five."""
    noise = np.random.default_rng(seed).normal(0, spread, (num_rows, 5))
    noise[np.arange(num_rows), np.arange(num_rows) % 5] += 2
    return noise.astype(np.float32)


@pytest.mark.parametrize(("cnn", "svm", "decides"), [(0.5, 2.0, "cnn"), (2.0, 0.5, "svm"), (1.5, 1.5, "both")])
def test_no_head_is_clearly_better_than_the_one_that_decides(cnn: float, svm: float, decides: str) -> None:
    labels = np.arange(4_000) % 5
    rule = fit_rule(scores(4_000, cnn, 0), scores(4_000, svm, 1), labels, temperature=1.0, pairwise=False)
    found = {
        head: decide_heads(scores(4_000, cnn, 2), scores(4_000, svm, 3), temperature=1.0, rule=rule, head=head)
        for head in ("cnn", "svm", "both")
    }
    accuracy = {head: (answers.answers.label_ids == labels).mean() for head, answers in found.items()}
    assert accuracy[rule.decides] >= max(accuracy.values()) - 0.005
    if decides == "both":
        assert rule.decides == "both"
        assert accuracy["both"] > max(accuracy["cnn"], accuracy["svm"]) + 0.02
    both = found["both"].answers
    assert expected_calibration_error(both.confidences, both.label_ids == labels) < 0.02


def test_a_calibrated_svm_is_right_as_often_as_it_says() -> None:
    labels = np.arange(6_000) % 5
    given_scores = scores(6_000, 1.0, 0) / 7
    rule = fit_rule(scores(6_000, 1.0, 1), given_scores, labels, temperature=1.0, pairwise=False)
    found = decide_heads(scores(6_000, 1.0, 2), given_scores, temperature=1.0, rule=rule, head="svm").answers
    assert expected_calibration_error(found.confidences, found.label_ids == labels) < 0.02


def test_without_an_svm_the_network_answers_alone() -> None:
    found = decide_heads(scores(10, 1.0, 0), None, temperature=2.0, rule=None, head="cnn")
    assert found.svm is None
    assert found.answers is found.cnn


@pytest.mark.parametrize("num_labels", [2, 3, 6])
def test_classes_from_pairs_are_those_of_scikit_learn(num_labels: int) -> None:
    features, labels = make_blobs(800, centers=num_labels, cluster_std=6.0, random_state=0)
    svm = SVC(C=0.5, break_ties=num_labels > 2).fit(features, labels)
    predicted = svm.predict(features)
    svm.set_params(decision_function_shape="ovo", break_ties=False)
    decisions = svm.decision_function(features).reshape(len(features), -1) * (-1 if num_labels == 2 else 1)
    np.testing.assert_array_equal(pairwise_labels(decisions, num_labels), predicted)


@given(arrays(np.float64, (4, 10), elements=st.floats(-3, 3)))
def test_who_beats_every_rival_has_the_only_margin_above_zero(decisions: np.ndarray) -> None:
    margins = pairwise_margins(decisions, 5)
    first, second = class_pairs(5)
    for row, values in enumerate(decisions):
        beaten = {j for pair, (i, j) in enumerate(zip(first, second, strict=True)) if values[pair] > 0} | {
            i for pair, (i, j) in enumerate(zip(first, second, strict=True)) if values[pair] <= 0
        }
        winners = set(range(5)) - beaten
        assert len(winners) <= 1
        if winners and margins[row].max() > 0:
            assert pairwise_labels(decisions, 5)[row] == margins[row].argmax() == winners.pop()


@pytest.mark.parametrize("change", [{"svm_temperature": 0.0}, {"decides": "cat"}])
def test_a_rule_of_other_values_is_refused(change: dict[str, object]) -> None:
    values = {"pairwise": False, "svm_temperature": 1.0, "cnn_weight": 1.0, "svm_weight": 1.0, "decides": "svm"}
    with pytest.raises(BundleError):
        HeadRule(**{**values, **change})  # type: ignore[arg-type]
