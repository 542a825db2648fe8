"""Drift: silent for as long as nothing changes, and loud, by name, in the night in which something does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fmnist_ray.labels import FASHION_MNIST
from fmnist_ray.reports.drift import FALSE_ALARM_RATE, MIN_ROWS, DriftWatch, State, judge_nights
from fmnist_ray.reports.evidence import e_values
from fmnist_ray.reports.statistics import NUM_BRIGHTNESS_BINS, NUM_CONFIDENCE_BINS, RunStatistics

SHARES = np.array([0.16, 0.12, 0.1, 0.1, 0.1, 0.1, 0.12, 0.1, 0.08, 0.02])


def night(
    generator: np.random.Generator,
    rows: int,
    *,
    shares: np.ndarray = SHARES,
    reject_share: float = 0.01,
    blank_share: float = 0.0,
    contradicted_share: float = 0.05,
    inverted: bool = False,
) -> RunStatistics:
    """The statistics of a made-up night, drawn without drawing its rows."""
    statistics = RunStatistics.empty(len(shares))
    num_rejects = int(generator.binomial(rows, reject_share))
    statistics.rejects_by_reason = Counter({"truncated": num_rejects})
    by_confidence = np.diff(np.linspace(0, 1, NUM_CONFIDENCE_BINS + 1) ** 5)
    cells = np.outer(shares, by_confidence).ravel()
    statistics.confidence_histogram += generator.multinomial(rows - num_rejects, cells).reshape(len(shares), -1)
    num_predictions = rows - num_rejects
    alarms = {"novel": 0.01, "blank": 0.002 + blank_share, "tiny": 0.004, "blurred": 0.004}
    statistics.decisions = Counter({"set/1": num_predictions})
    statistics.decisions |= {
        f"alarm/{name}": int(generator.binomial(num_predictions, share)) for name, share in alarms.items()
    }
    statistics.label_confusion[0, 1] = generator.binomial(num_predictions, contradicted_share)
    statistics.label_confusion[0, 0] = num_predictions - statistics.label_confusion[0, 1]
    bins = np.arange(NUM_BRIGHTNESS_BINS)
    bright = np.exp(-(((bins - 18) / 7) ** 2))
    bright = (1 - blank_share) * (bright[::-1] if inverted else bright) / bright.sum()
    bright[-1] += blank_share
    statistics.brightness_histogram += generator.multinomial(rows - num_rejects, bright)
    return statistics


def num_false_alarms(sequences: int, rows: int, *, nights: int = 60) -> int:
    """Of so many sequences of nights of one distribution, those in which any night raises the alarm."""
    alarms = 0
    for seed in range(sequences):
        generator = np.random.default_rng(seed)
        found = judge_nights(night(generator, rows), [night(generator, rows) for _ in range(nights)], FASHION_MNIST)
        alarms += any(verdict.alarms for verdict in found)
    return alarms


@pytest.mark.parametrize("rows", [1_000, 1_000_000])
def test_quiet_while_nothing_changes(rows: int) -> None:
    assert num_false_alarms(20, rows, nights=30) <= 1


@pytest.mark.long
@pytest.mark.parametrize("rows", [300, 1_000, 1_000_000])
def test_quiet_for_two_hundred_times_sixty_nights(rows: int) -> None:
    assert num_false_alarms(200, rows) <= 10


def test_the_evidence_alone_stays_low_without_any_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise does not rest on the limits: without them the process itself keeps to the rate."""
    from fmnist_ray.reports import drift

    monkeypatch.setattr(drift, "LIMITS", dict.fromkeys(drift.LIMITS, drift.Limit(points=0)))
    assert num_false_alarms(60, 1_000, nights=40) <= 60 * FALSE_ALARM_RATE


def test_e_values_have_a_mean_of_at_most_one() -> None:
    generator = np.random.default_rng(0)
    before, tonight = generator.multinomial(3_000, SHARES, 4_000), generator.multinomial(800, SHARES, 4_000)
    found = e_values(tonight.ravel(), 800, before.ravel(), 3_000).reshape(tonight.shape)
    assert (found >= 0).all()
    assert found.mean(axis=0).max() < 1.1


def doubled(label: int) -> np.ndarray:
    """One class has twice its share; the others share the rest as before."""
    shares = SHARES * (1 - 2 * SHARES[label]) / (1 - SHARES[label])
    shares[label] = 2 * SHARES[label]
    return np.asarray(shares)


@pytest.mark.parametrize("rows", [1_000, 1_000_000])
@pytest.mark.parametrize("num_before", [2, 45])
@pytest.mark.parametrize(
    ("change", "kind", "cause"),
    [
        ({"inverted": True}, "brightness", None),
        ({"shares": doubled(2)}, "classes", "Pullover"),
        ({"blank_share": 0.03}, "photos", "blank"),
        ({"reject_share": 0.06}, "rejects", "truncated"),
        ({"contradicted_share": 0.12}, "categories", "contradicted"),
    ],
    ids=["inverted", "doubled", "blank", "rejects", "contradicted"],
)
def test_a_change_is_named_in_its_night(
    rows: int, num_before: int, change: dict[str, object], kind: str, cause: str | None
) -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        watch = DriftWatch(night(generator, rows), FASHION_MNIST)
        for _ in range(num_before):
            assert not watch.judge(night(generator, rows)).alarms
        found = watch.judge(night(generator, rows, **change))  # type: ignore[arg-type]
        alarms = {verdict.kind: verdict.causes[0].name for verdict in found.alarms}
        assert cause is None or alarms[kind] == cause
        if "blank_share" in change:  # blank photos are bright as well
            assert alarms.pop("brightness", "240 to 256") == "240 to 256"
        assert list(alarms) == [kind]
        assert not watch.judge(night(generator, rows)).alarms  # the odd night did not become normal


def test_a_trifle_in_a_million_rows_is_no_alarm() -> None:
    generator = np.random.default_rng(0)
    shares = SHARES + np.array([0.005, -0.005, *[0] * 8])
    (found,) = judge_nights(night(generator, 1_000_000), [night(generator, 1_000_000, shares=shares)], FASHION_MNIST)
    states = {verdict.kind: verdict.state for verdict in found.kinds}
    assert states["classes"] == State.SMALL
    assert not found.alarms


def test_too_little_data_is_said() -> None:
    generator = np.random.default_rng(0)
    tiny = night(generator, MIN_ROWS - 1, inverted=True)
    (found,) = judge_nights(night(generator, 10_000), [tiny], FASHION_MNIST)
    assert found.too_little_data
    assert not found.alarms
    (empty,) = judge_nights(night(generator, 10_000), [RunStatistics.empty(10)], FASHION_MNIST)
    assert empty.too_little_data


def test_the_reference_is_left_as_it_is() -> None:
    generator = np.random.default_rng(0)
    reference = night(generator, 1_000)
    before = reference.to_dict()
    judge_nights(reference, [night(generator, 1_000)], FASHION_MNIST)
    assert reference.to_dict() == before
