"""Counts of a run: right, mergeable in any order, and the same whatever the shards."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_ray.reports.head_content import head_content
from fmnist_ray.reports.statistics import NUM_CONFIDENCE_BINS, RunStatistics

LABELS = 4

rows = st.lists(
    st.tuples(st.integers(0, LABELS - 1), st.floats(0, 1, width=32), st.integers(-1, LABELS - 1)), max_size=40
)
reasons = st.lists(st.sampled_from(["empty", "truncated", "undecodable"]), max_size=10)
seconds = st.lists(st.tuples(st.sampled_from(["read_s", "score_s"]), st.floats(0, 1e4)), max_size=5)


def counted(predictions: list[Any], rejects: list[str], times: list[tuple[str, float]]) -> RunStatistics:
    statistics = RunStatistics.empty(LABELS)
    label_ids, confidences, true_ids = zip(*predictions, strict=True) if predictions else ((), (), ())
    statistics.add_predictions(label_ids, confidences, true_ids)
    statistics.add_rejects(rejects)
    for step, spent in times:
        statistics.add_seconds(step, spent)
    statistics.num_null_ids += len(rejects)
    statistics.bytes_read += 100 * len(predictions)
    return statistics


statistics_of_some_rows = st.builds(counted, rows, reasons, seconds)


def merged(*parts: RunStatistics) -> dict[str, Any]:
    total = RunStatistics.empty(LABELS)
    for part in parts:
        total.merge(part)
    return total.to_dict()


def test_counts_predictions_by_label_bin_and_truth() -> None:
    statistics = RunStatistics.empty(LABELS)
    statistics.add_predictions([0, 0, 3, 1], [0.0, 0.019, 1.0, 0.5], [0, 1, 3, -1])
    histogram = np.zeros((LABELS, NUM_CONFIDENCE_BINS), np.int64)
    histogram[0, 0], histogram[3, 49], histogram[1, 25] = 2, 1, 1
    np.testing.assert_array_equal(statistics.confidence_histogram, histogram)
    assert statistics.rows_by_label == [2, 1, 0, 1]
    assert (statistics.num_rows, statistics.num_predictions, statistics.num_labelled) == (4, 4, 3)
    assert np.argwhere(statistics.label_confusion).tolist() == [[0, 0], [1, 0], [3, 3]]
    assert (statistics.labelled_by_bin[0], statistics.correct_by_bin[0]) == (2, 1)
    assert statistics.labelled_confidence_by_bin[[0, 49]].tolist() == [19_000, 1_000_000]


def test_counts_rejects_and_null_ids() -> None:
    statistics = counted([(0, 0.5, 0)], ["empty", "truncated", "empty"], [])
    assert statistics.rejects_by_reason == {"empty": 2, "truncated": 1}
    assert (statistics.num_rows, statistics.num_rejects, statistics.num_null_ids) == (4, 3, 3)


def test_a_confidence_slightly_above_one_counts_as_one() -> None:
    statistics = RunStatistics.empty(LABELS)
    statistics.add_predictions([2], np.array([1.0000001], np.float32))
    assert statistics.confidence_histogram[2, 49] == 1


def test_refuses_a_confidence_that_is_not_a_number_and_a_label_out_of_range() -> None:
    with pytest.raises(ValueError, match="not a number"):
        RunStatistics.empty(LABELS).add_predictions([0], [float("nan")])
    with pytest.raises(ValueError, match="reshape"):
        RunStatistics.empty(LABELS).add_predictions([LABELS], [0.5])


def test_brightness_is_the_mean_pixel_value() -> None:
    statistics = RunStatistics.empty(LABELS)
    images = np.stack([np.full((28, 28, 1), value, np.uint8) for value in (0, 3, 4, 255)])
    statistics.add_images(images)
    statistics.add_images(images[:0])
    assert np.flatnonzero(statistics.brightness_histogram).tolist() == [0, 1, 63]
    assert statistics.brightness_histogram[0] == 2


def test_seconds_come_in_the_order_of_the_steps() -> None:
    statistics = RunStatistics.empty(LABELS)
    for step in ("write_s", "read_s", "fetch_s", "read_s"):
        statistics.add_seconds(step, 0.25)
    assert list(statistics.seconds_by_step.items()) == [("read_s", 0.5), ("write_s", 0.25), ("fetch_s", 0.25)]


@given(statistics_of_some_rows, statistics_of_some_rows, statistics_of_some_rows)
def test_merging_is_associative_and_commutative(a: RunStatistics, b: RunStatistics, c: RunStatistics) -> None:
    left = RunStatistics.from_dict(merged(a, b))
    right = RunStatistics.from_dict(merged(b, c))
    assert merged(left, c) == merged(a, right) == merged(c, b, a)


@given(rows, reasons, seconds, st.integers(0, 40))
def test_any_split_of_the_rows_counts_the_same(
    predictions: list[Any], rejects: list[str], times: list[tuple[str, float]], cut: int
) -> None:
    first = counted(predictions[:cut], rejects[:cut], times[:cut])
    second = counted(predictions[cut:], rejects[cut:], times[cut:])
    assert merged(first, second) == counted(predictions, rejects, times).to_dict()


@given(statistics_of_some_rows)
def test_survives_json(statistics: RunStatistics) -> None:
    content = json.loads(json.dumps(statistics.to_dict()))
    assert RunStatistics.from_dict(content).to_dict() == statistics.to_dict()


@pytest.mark.parametrize("content", [{}, {"num_labels": "ten"}, {"num_labels": 2, "label_confusion": []}, []])
def test_refuses_what_are_not_statistics(content: Any) -> None:
    with pytest.raises(ValueError, match="not the statistics of a run"):
        RunStatistics.from_dict(content)


def test_a_receipt_of_a_thousand_classes_stays_small() -> None:
    statistics = RunStatistics.empty(1000)
    generator = np.random.default_rng(0)
    true = generator.integers(0, 1000, 8192)
    statistics.add_predictions(true, generator.random(8192), true)
    assert len(json.dumps(statistics.to_dict())) < 200_000


def test_heads_are_counted_where_they_agree_and_where_they_differ() -> None:
    statistics = RunStatistics.empty(LABELS)
    statistics.add_heads([0, 1, 2, 3, 1], [0, 1, 2, 1, 1], [0, 1, 3, 3, 1], [0, 2, 2, 1, -1])
    again = RunStatistics.from_dict(statistics.to_dict())
    again.merge(statistics)
    assert {name: count for name, count in again.heads.items() if count} == {
        "agree": 6, "agree_labelled": 4, "agree_answer_right": 2, "agree_cnn_right": 2, "agree_svm_right": 2,
        "differ": 4, "differ_labelled": 4, "differ_answer_right": 2, "differ_cnn_right": 4,
    }  # fmt: skip
    content = head_content(again)
    assert content is not None
    assert (content["disagreement_share"], content["groups"][1]["answer_error"]) == (0.4, 0.5)
    assert content["groups"][0]["svm_error"] == 0.5
    assert head_content(RunStatistics.empty(LABELS)) is None
