"""The content of a run's report: plain values and examples, in the order in which the page shows them."""

from __future__ import annotations

from typing import Any

from fmnist_ray.labels import Labels
from fmnist_ray.reports.accuracy_content import accuracy_content
from fmnist_ray.reports.decision_content import decision_content
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.head_content import head_content
from fmnist_ray.reports.metrics import evaluate
from fmnist_ray.reports.statistics import NUM_BRIGHTNESS_BINS, NUM_CONFIDENCE_BINS, RunStatistics

REPORT_VERSION = 1
"""Raised whenever a key of `report.json` changes its meaning or goes away."""

_NUM_CLASSES_SHOWN = 30
_CONFIDENCE_BANDS = (0.0, 0.5, 0.8, 0.9, 1.0)


def run_content(run: dict[str, Any], statistics: RunStatistics, gallery: Gallery, labels: Labels) -> dict[str, Any]:
    """Everything that `report.json` and the page say; `run` is passed on as it is."""
    evaluation = evaluate(statistics)
    return {
        "report_version": REPORT_VERSION,
        "verdict": _verdict(statistics),
        "run": run,
        "num_rows": statistics.num_rows,
        "num_predictions": statistics.num_predictions,
        "num_rejects": statistics.num_rejects,
        "predictions_share": _share(statistics.num_predictions, statistics.num_rows),
        "rejects_share": _share(statistics.num_rejects, statistics.num_rows),
        "num_carried": statistics.num_carried,
        "num_repeated": statistics.num_repeated,
        "num_null_ids": statistics.num_null_ids,
        "bytes_read": statistics.bytes_read,
        "rejects": _rejects(statistics, gallery),
        "evaluation": None if evaluation is None else accuracy_content(evaluation, statistics, gallery, labels),
        "classes": _classes(statistics, gallery, labels),
        "confidence": _confidence(statistics),
        "heads": head_content(statistics),
        "decisions": decision_content(statistics.decisions, run.get("promises"), run.get("thresholds"), labels),
        "brightness": _brightness(statistics),
        "time": _time(statistics),
    }


def _verdict(statistics: RunStatistics) -> str:
    num_rows, num_predictions, num_rejects = statistics.num_rows, statistics.num_predictions, statistics.num_rejects
    rows = "1 row" if num_rows == 1 else f"{num_rows:,} rows"
    if not num_rows:
        return "No rows: the catalogue is empty"
    if not num_rejects:
        return f"{rows}, all classified"
    if not num_predictions:
        return f"{rows}, all rejected"
    return f"{rows}: {num_predictions:,} classified, {num_rejects:,} rejected"


def _rejects(statistics: RunStatistics, gallery: Gallery) -> list[dict[str, Any]]:
    """Reasons that occurred, the most frequent first, with examples."""
    reasons = statistics.rejects_by_reason.most_common()
    examples = gallery.by_reason([reason for reason, _ in reasons])
    return [
        {
            "reason": reason,
            "num_rejects": num_rejects,
            "share": _share(num_rejects, statistics.num_rows),
            "examples": shown,
        }
        for (reason, num_rejects), shown in zip(reasons, examples, strict=True)
    ]


def _classes(statistics: RunStatistics, gallery: Gallery, labels: Labels) -> list[dict[str, Any]]:
    """Every class in the order of label ids; the most frequent are on the page, with examples."""
    frequent = sorted(range(len(labels)), key=lambda label_id: -statistics.rows_by_label[label_id])
    shown = sorted(frequent[:_NUM_CLASSES_SHOWN])
    examples = dict(zip(shown, gallery.by_label([labels[label_id] for label_id in shown]), strict=True))
    columns = zip(labels, statistics.rows_by_label, statistics.confidence_histogram.tolist(), strict=True)
    return [
        {
            "label_id": label_id,
            "label": label,
            "num_predictions": num_predictions,
            "share": _share(num_predictions, statistics.num_predictions),
            "confidence_counts": counts,
            "on_page": label_id in examples,
            "examples": examples.get(label_id, []),
        }
        for label_id, (label, num_predictions, counts) in enumerate(columns)
    ]


def _confidence(statistics: RunStatistics) -> dict[str, Any]:
    counts = statistics.confidence_histogram.sum(axis=0)
    complete = statistics.num_labelled == statistics.num_predictions > 0
    wrong = statistics.labelled_by_bin - statistics.correct_by_bin
    edges = [round(edge * NUM_CONFIDENCE_BINS) for edge in _CONFIDENCE_BANDS]
    return {
        "bin_edges": [number / NUM_CONFIDENCE_BINS for number in range(NUM_CONFIDENCE_BINS + 1)],
        "num_predictions": counts.tolist(),
        "num_wrong": wrong.tolist() if complete else None,
        "bands": [
            {
                "low": edges[number] / NUM_CONFIDENCE_BINS,
                "high": edges[number + 1] / NUM_CONFIDENCE_BINS,
                "num_predictions": (rows := int(counts[edges[number] : edges[number + 1]].sum())),
                "share": _share(rows, statistics.num_predictions),
            }
            for number in range(len(edges) - 1)
        ],
    }


def _brightness(statistics: RunStatistics) -> dict[str, Any]:
    """Mean pixel values of the model's input, 0..255."""
    counts = statistics.brightness_histogram
    width = 256 // NUM_BRIGHTNESS_BINS
    return {
        "bin_edges": [width * number for number in range(NUM_BRIGHTNESS_BINS + 1)],
        "num_images": counts.tolist(),
    }


def _time(statistics: RunStatistics) -> dict[str, Any]:
    """Seconds summed over all workers, and what that is for one row."""
    seconds = statistics.seconds_by_step
    total = sum(seconds.values())
    return {
        "worker_s": total,
        "ms_per_row": _per_row_ms(total, statistics.num_rows),
        "steps": [
            {
                "step": name,
                "seconds": spent,
                "ms_per_row": _per_row_ms(spent, statistics.num_rows),
                "share": _share(spent, total),
            }
            for name, spent in seconds.items()
        ],
    }


def _per_row_ms(seconds: float, num_rows: int) -> float | None:
    return 1000 * seconds / num_rows if num_rows else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
