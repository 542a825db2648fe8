"""Counting decisions: what a run's statistics keep of them, as sums that shards can be merged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.decisions.rule import DECISION_OF, REASONS, Judgements
from fmnist_ray.schema import PHOTO_PROBLEMS, Decision


def count_judgements(
    label_ids: NDArray[np.integer],
    judgements: Judgements,
    true_label_ids: NDArray[np.integer] | None = None,
) -> Counter[str]:
    """How often each thing was decided of rows with `label_ids` [n]; true label ids [n] are negative where unknown.

    `<reason>` counts rows, `<reason>/labelled` those with a known truth and `<reason>/right` those of them whose label
    is right; `<reason>/<label id>` the rows of one label; `alarm/novel` and `alarm/<photo problem>` the rows with an
    alarm; `set/<size>` label sets, `set/labelled` those with a known truth and `set/right` those that hold it.
    """
    counts: Counter[str] = Counter()
    known = np.full(len(label_ids), -1) if true_label_ids is None else np.asarray(true_label_ids, np.int64)
    labelled = known >= 0
    if judgements.reasons is not None:
        for number in np.unique(judgements.reasons):
            rows = judgements.reasons == number
            name = str(REASONS[number])
            counts[name] += int(rows.sum())
            counts[f"{name}/labelled"] += int((rows & labelled).sum())
            counts[f"{name}/right"] += int((rows & (known == label_ids)).sum())
            for label, num_rows in zip(*np.unique(label_ids[rows], return_counts=True), strict=True):
                counts[f"{name}/{label}"] += int(num_rows)
    counts["alarm/novel"] += int(judgements.novel.sum())
    for number, name in enumerate(PHOTO_PROBLEMS):
        counts[f"alarm/{name}"] += int((judgements.photo_problems == number).sum())
    for size, num_rows in enumerate(np.bincount(judgements.label_sets.sum(axis=1))):
        counts[f"set/{size}"] += int(num_rows)
    counts["set/labelled"] += int(labelled.sum())
    counts["set/right"] += int(judgements.label_sets[labelled, known[labelled]].sum())
    return counts


def decisions_made(counts: Mapping[str, int]) -> dict[str, int]:
    """Rows by decision, each of them named; empty where nothing was promised."""
    made = {str(decision): 0 for decision in Decision}
    for reason, decision in DECISION_OF.items():
        made[str(decision)] += counts.get(str(reason), 0)
    return made if any(made.values()) else {}
