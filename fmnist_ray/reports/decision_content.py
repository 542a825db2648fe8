"""What was decided of a run's rows, and what the promised precision costs: the share that people have to review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fmnist_ray.labels import Labels
from fmnist_ray.reports.metrics import CONFIDENCE_LEVEL, interval
from fmnist_ray.schema import PHOTO_PROBLEMS, Decision, DecisionReason


def decision_content(
    counts: Mapping[str, int], promises: Mapping[str, Any] | None, thresholds: Sequence[float] | None, labels: Labels
) -> dict[str, Any] | None:
    """Decisions by reason and by class, label sets and alarms, as `decisions.counts` counted them; None for a bundle
    without held-out rows. Precisions are those of labelled rows, None without any.

    `promises` are those of the plan, `thresholds` the confidence by label from which on a row was accepted.
    """
    sizes = {int(name.removeprefix("set/")): num for name, num in counts.items() if name.removeprefix("set/").isdigit()}
    num_rows = sum(sizes.values())
    if promises is None or not num_rows:
        return None
    labelled = counts.get("set/labelled", 0)
    return {
        "promises": dict(promises),
        "num_predictions": num_rows,
        "decisions": None if thresholds is None else _decisions(counts, num_rows),
        "reasons": [
            {"reason": str(reason), "num_predictions": num, "share": num / num_rows}
            for reason in DecisionReason
            if (num := counts.get(str(reason), 0))
        ],
        "classes": None if thresholds is None else _classes(counts, thresholds, labels),
        "label_sets": {
            "mean_size": sum(size * num for size, num in sizes.items()) / num_rows,
            "num_by_size": [{"size": size, "num_predictions": sizes[size]} for size in sorted(sizes)],
            "coverage": counts.get("set/right", 0) / labelled if labelled else None,
        },
        "alarms": [
            {"alarm": name, "num_predictions": num, "share": num / num_rows}
            for name in ("novel", *PHOTO_PROBLEMS)
            if (num := counts.get(f"alarm/{name}", 0)) or name == "novel"
        ],
    }


def _decisions(counts: Mapping[str, int], num_rows: int) -> list[dict[str, Any]]:
    """Rows by decision, and how precise the labelled ones of them are."""
    reasons = {
        Decision.ACCEPT: (DecisionReason.CONFIDENT,),
        Decision.REVIEW: (DecisionReason.UNSURE, DecisionReason.UNPROVEN),
        Decision.DECLINE: (DecisionReason.NOVEL, DecisionReason.UNUSABLE_PHOTO),
    }
    entries = []
    for decision, names in reasons.items():
        num, labelled, right = (
            sum(counts.get(f"{name}{part}", 0) for name in names) for part in ("", "/labelled", "/right")
        )
        low, high = interval(right, labelled) if labelled else (None, None)
        entries.append(
            {
                "decision": str(decision),
                "num_predictions": num,
                "share": num / num_rows,
                "num_labelled": labelled,
                "precision": right / labelled if labelled else None,
                "precision_low": low,
                "precision_high": high,
                "confidence_level": CONFIDENCE_LEVEL,
            }
        )
    return entries


def _classes(counts: Mapping[str, int], thresholds: Sequence[float], labels: Labels) -> list[dict[str, Any]]:
    """What the promise costs in each predicted class."""
    entries = []
    for number, (label, threshold) in enumerate(zip(labels, thresholds, strict=True)):
        by_reason = {reason: counts.get(f"{reason}/{number}", 0) for reason in DecisionReason}
        total = sum(by_reason.values())
        accepted = by_reason[DecisionReason.CONFIDENT]
        reviewed = by_reason[DecisionReason.UNSURE] + by_reason[DecisionReason.UNPROVEN]
        entries.append(
            {
                "label": label,
                "threshold": threshold if threshold <= 1 else None,
                "num_predictions": total,
                "accepted_share": accepted / total if total else None,
                "reviewed_share": reviewed / total if total else None,
            }
        )
    return entries
