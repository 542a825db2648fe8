"""Where the two heads of a bundle with an SVM differ, and who is right there."""

from __future__ import annotations

from typing import Any

from fmnist_ray.reports.statistics import RunStatistics


def head_content(statistics: RunStatistics) -> dict[str, Any] | None:
    """Rows on which network and SVM agree and differ, and how often each is wrong there; None without an SVM.

    Shares are None where they would be 0/0: the errors without labels.
    """
    counts = statistics.heads
    num_rows = counts["agree"] + counts["differ"]
    if not num_rows:
        return None
    groups = [
        {
            "group": group,
            "num_predictions": counts[group],
            "share": counts[group] / num_rows,
            "num_labelled": (labelled := counts[f"{group}_labelled"]),
            **{
                f"{who}_error": 1 - counts[f"{group}_{who}_right"] / labelled if labelled else None
                for who in ("answer", "cnn", "svm")
            },
        }
        for group in ("agree", "differ")
    ]
    return {"num_predictions": num_rows, "disagreement_share": groups[1]["share"], "groups": groups}
