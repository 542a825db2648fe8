"""The precision contract and label sets, over many random cuts into held-out rows and the rows that come later."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_ray.config.decisions import Promises
from fmnist_ray.decisions.calibration import Curve, expected_calibration_error, fit_curve
from fmnist_ray.decisions.contract import NEVER, accept_thresholds, rows_without_mistake
from fmnist_ray.decisions.decide import Answers, decide
from fmnist_ray.decisions.label_sets import label_sets, set_limits
from fmnist_ray.errors import RefusedError, SettingError

LABELS = tuple("ABCDEFGHIJ")
SPLITS = 200


@pytest.fixture(scope="module")
def pool() -> tuple[Answers, np.ndarray]:
    """Answers and labels of 12,000 rows, about 93 % right and overconfident, some classes harder than others."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 12_000)
    logits = random.normal(0, 1.0, (12_000, 10))
    logits[np.arange(12_000), labels] += 3.2 + 2 * (labels % 3) + random.normal(0, 1.0, 12_000)
    return decide(logits.astype(np.float32), 1.0), labels


def splits(num_rows: int, num_heldout: int) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.permutation(num_rows)[:num_heldout] for _ in range(SPLITS)]


def calibrated(answers: Answers, labels: np.ndarray, held: np.ndarray) -> Answers:
    """The answers with confidences as a bundle has them: on a curve that was fitted on the same held-out rows."""
    odds = 1 / answers.confidences.astype(np.float64) - 1
    curve = fit_curve(odds[held], (answers.label_ids == labels)[held])
    return Answers(answers.label_ids, curve.apply(odds).astype(np.float32), answers.probabilities)


def thresholds(answers: Answers, labels: np.ndarray, held: np.ndarray, promises: Promises) -> np.ndarray:
    right = answers.label_ids == labels
    return accept_thresholds(
        answers.confidences[held], answers.label_ids[held], right[held], labels=LABELS, promises=promises
    )


@pytest.mark.parametrize("min_precision", [0.98, 0.99])
def test_the_promise_is_broken_in_no_more_cuts_than_the_risk_allows(
    pool: tuple[Answers, np.ndarray], min_precision: float
) -> None:
    """The risk is 5 %: of 200 cuts 10 may break it on average, and 16 with probability 3 %."""
    raw, labels = pool
    broken, shares = 0, []
    for held in splits(len(labels), 4_000):
        answers = calibrated(raw, labels, held)
        accepted = answers.confidences >= thresholds(answers, labels, held, Promises(min_precision=min_precision))[0]
        broken += bool((answers.label_ids == labels)[accepted].mean() < min_precision)
        shares.append(accepted.mean())
    assert broken <= 16
    order = np.argsort(-raw.confidences)
    right = (raw.label_ids == labels)[order].cumsum() / np.arange(1, len(labels) + 1)
    best = (np.flatnonzero(right >= min_precision).max() + 1) / len(labels)
    assert best - 0.06 < np.mean(shares) < best  # a promise that accepts next to nothing is easily kept


def test_per_class_every_class_keeps_the_promise(pool: tuple[Answers, np.ndarray]) -> None:
    answers, labels = pool
    broken = np.zeros(10)
    for held in splits(len(labels), 4_000)[:100]:
        found = thresholds(answers, labels, held, Promises(min_precision=0.97, per_class=True))
        accepted = answers.confidences >= found[answers.label_ids]
        for label in np.flatnonzero(found < NEVER):
            rows = accepted & (answers.label_ids == label)
            broken[label] += (labels[rows] != label).mean() > 0.03
    assert broken.max() <= 10
    assert len(set(found)) > 3


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.99])
def test_label_sets_cover_every_class(pool: tuple[Answers, np.ndarray], coverage: float) -> None:
    answers, labels = pool
    probabilities = answers.probabilities
    covered, sizes = [], []
    for held in splits(len(labels), 4_000):
        rest = np.ones(len(labels), bool)
        rest[held] = False
        sets = label_sets(probabilities[rest], set_limits(probabilities[held], labels[held], coverage))
        covered.append([sets[labels[rest] == label, label].mean() for label in range(10)])
        sizes.append(sets.sum(axis=1).mean())
    np.testing.assert_allclose(np.mean(covered, axis=0), coverage, atol=0.005)
    assert np.mean(sizes) < 3


def test_too_few_rows_are_refused_with_the_number_that_would_do(pool: tuple[Answers, np.ndarray]) -> None:
    (answers, labels), promises = pool, Promises(min_precision=0.99)
    with pytest.raises(
        RefusedError, match=r"too few to promise .* there are 150, and about ([\d,]+) like them"
    ) as found:
        thresholds(answers, labels, np.arange(150), promises)
    needed = int(re.search(r"about ([\d,]+) like", str(found.value)).group(1).replace(",", ""))  # type: ignore[union-attr]
    assert rows_without_mistake(promises) == 321 <= needed < 3_000
    kept = sum(np.isfinite(_tried(answers, labels, held[:needed], promises)) for held in splits(len(labels), 4_000))
    assert kept > SPLITS / 4
    few = np.flatnonzero((answers.label_ids != 1) | (np.arange(len(labels)) < 500))
    with pytest.raises(RefusedError, match="Held-out rows answered with 'B' are too few"):
        thresholds(answers, labels, few, Promises(min_precision=0.9, per_class=True, risk=1e-6))


def _tried(answers: Answers, labels: np.ndarray, held: np.ndarray, promises: Promises) -> float:
    try:
        return float(thresholds(answers, labels, held, promises)[0])
    except RefusedError:
        return float("inf")


def test_what_no_number_of_rows_can_prove_is_refused_without_one() -> None:
    random = np.random.default_rng(0)
    confidences, right = random.uniform(0.5, 1, 4_000), random.random(4_000) < 0.8
    with pytest.raises(RefusedError, match="however many there were .* 4,000 rows"):
        accept_thresholds(
            confidences, np.zeros(4_000, int), right, labels=("A", "B"), promises=Promises(min_precision=0.95)
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.9, 0.97]))
def test_more_mistakes_never_lower_the_threshold(seed: int, min_precision: float) -> None:
    random = np.random.default_rng(seed)
    confidences = 1 - random.exponential(0.03, 3_000).clip(0, 0.9)
    right = random.random(3_000) < confidences
    labels = np.zeros(3_000, int)

    def lowest(correct: np.ndarray) -> float:
        try:
            promises = Promises(min_precision=min_precision)
            return float(accept_thresholds(confidences, labels, correct, labels=("A",), promises=promises)[0])
        except RefusedError:
            return NEVER

    worse = right & (random.random(3_000) > 0.02)
    assert lowest(worse) >= lowest(right)


def test_a_class_without_enough_rows_is_in_every_set() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 100)
    labels = np.repeat([0, 1], 50)
    sets = label_sets(probabilities, set_limits(probabilities, labels, 0.9))
    assert sets[:, 2].all()
    assert 44 <= sets[:50, 0].sum() <= 46


def test_a_curve_calibrates_what_a_temperature_leaves() -> None:
    random = np.random.default_rng(4)
    odds = np.exp(-random.normal(3, 2, 20_000))
    right = random.random(20_000) < 1 / (1 + np.exp(0.5) * odds**1.3)
    curve = fit_curve(odds, right)
    assert (curve.slope, curve.offset) == (pytest.approx(1.3, abs=0.05), pytest.approx(-0.5, abs=0.1))
    assert (
        expected_calibration_error(curve.apply(odds), right) < 0.01 < expected_calibration_error(1 / (1 + odds), right)
    )
    np.testing.assert_allclose(Curve().apply(odds), 1 / (1 + odds))


def test_promises_out_of_range_are_refused() -> None:
    with pytest.raises(SettingError, match="--min-precision is 1.0; it must be between 0 and 1"):
        Promises(min_precision=1.0)
    with pytest.raises(SettingError, match="add --min-precision"):
        Promises(per_class=True)
