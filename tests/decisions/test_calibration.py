"""Calibration and decisions, against figures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmnist_ray.decisions.calibration import expected_calibration_error, fit_temperature
from fmnist_ray.decisions.decide import decide
from fmnist_ray.errors import InputError

RANDOM = np.random.default_rng(3)


def labels_drawn_from(logits: np.ndarray) -> np.ndarray:
    """Labels whose probabilities are exactly the softmax of `logits`."""
    return np.argmax(logits + RANDOM.gumbel(size=logits.shape), axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_scaled_logits_is_found(temperature: float) -> None:
    logits = RANDOM.normal(0, 2, (20_000, 10))
    assert fit_temperature(logits * temperature, labels_drawn_from(logits)) == pytest.approx(temperature, rel=0.05)


def test_a_fitted_temperature_calibrates() -> None:
    logits = RANDOM.normal(0, 2, (20_000, 10))
    labels = labels_drawn_from(logits)

    def error(temperature: float) -> float:
        answers = decide((logits * 3).astype(np.float32), temperature)
        return expected_calibration_error(answers.confidences, answers.label_ids == labels)

    assert error(1.0) > 0.15
    assert error(fit_temperature(logits * 3, labels)) < 0.015


@pytest.mark.parametrize("logits", [np.zeros((0, 10)), np.full((3, 10), np.nan)])
def test_a_temperature_needs_finite_logits(logits: np.ndarray) -> None:
    with pytest.raises(InputError, match="finite"):
        fit_temperature(logits, np.zeros(len(logits), np.int64))


def test_calibration_error_is_the_weighted_gap() -> None:
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False, True, True])
    expected = (4 * abs(0.75 - 0.95) + 2 * abs(1.0 - 0.55)) / 6
    assert expected_calibration_error(confidences, correct, bins=10) == pytest.approx(expected)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0.0
    assert expected_calibration_error(np.array([]), np.array([])) == 0.0


def test_a_decision_is_the_likeliest_label_and_its_probability() -> None:
    answers = decide(np.log(np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], np.float32)), 1.0)
    assert answers.label_ids.tolist() == [1, 0]
    assert answers.label_ids.dtype == np.int16
    np.testing.assert_allclose(answers.confidences, [0.7, 0.5], rtol=1e-6)
    assert answers.confidences.dtype == np.float32


def test_no_rows_get_no_answers() -> None:
    answers = decide(np.zeros((0, 10), np.float32), 1.3)
    assert (answers.label_ids.shape, answers.confidences.shape) == ((0,), (0,))


@given(
    arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(2, 12)), elements=st.floats(-900, 900, width=32)),
    st.floats(0.05, 20),
)
def test_confidences_are_probabilities_and_rows_are_independent(logits: np.ndarray, temperature: float) -> None:
    answers = decide(logits, temperature)
    assert (answers.confidences >= np.float32(1 / logits.shape[1]) * 0.999).all()
    assert (answers.confidences <= 1).all()
    alone = [decide(row[None], temperature) for row in logits]
    np.testing.assert_array_equal(answers.label_ids, [answer.label_ids[0] for answer in alone])
    np.testing.assert_array_equal(answers.confidences, [answer.confidences[0] for answer in alone])
