"""What changes when one bundle takes the place of another: a page with the rows that flip, and the numbers as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmnist_ray.labels import Labels
from fmnist_ray.reports.comparison import Comparison, compare
from fmnist_ray.reports.gallery import Example, Gallery
from fmnist_ray.reports.page import render

BUNDLE_DIFF_VERSION = 1
"""Raised whenever a key of `diff.json` changes its meaning or goes away."""

_PAIRS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BundleDiffReport:
    """The finished report. `content` holds every number of the page."""

    content: dict[str, Any]

    def files(self) -> dict[str, bytes]:
        """Every file of the report by its name; the page goes last."""
        encoded = json.dumps(self.content, indent=1, default=lambda example: example.to_dict()).encode() + b"\n"
        return {"diff.json": encoded, "diff.html": render("bundle_diff.html.j2", report=self.content)}


def rows_content(
    truth: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    samples: pa.Table,
    labels: Labels,
) -> dict[str, Any]:
    """What both bundles say of n rows: label ids [n] before and after, and the true ones, -1 where there is none.
    `samples` are rows that flip, with the label id `before_id`."""
    labelled = truth >= 0
    flips = compare(truth, after, before)
    known = compare(truth[labelled], after[labelled], before[labelled]) if labelled.any() else None
    return {
        "num_usable": len(truth),
        "num_labelled": int(labelled.sum()),
        "num_flipped": flips.num_flipped,
        "flipped_share": flips.num_flipped / len(truth),
        "comparison": None if known is None else _comparison(known),
        "flips": [
            {
                "before_label": labels[flip.second_id],
                "after_label": labels[flip.first_id],
                "num_rows": flip.num_rows,
                "num_gained": flip.num_gained,
                "num_lost": flip.num_lost,
                "examples": _examples(samples, flip.second_id, flip.first_id, labels) if number < _PAIRS_SHOWN else [],
            }
            for number, flip in enumerate(flips.flips)
        ],
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    right_before = found.num_both_right + found.num_only_second
    return {
        "before_accuracy": right_before / found.num_rows,
        "after_accuracy": (found.num_both_right + found.num_only_first) / found.num_rows,
        **{name: value for name, value in dataclasses.asdict(found).items() if name not in ("flips", "num_flipped")},
    }


def _examples(samples: pa.Table, before_id: int, after_id: int, labels: Labels) -> list[Example]:
    chosen = pc.and_(pc.equal(samples["before_id"], before_id), pc.equal(samples["label_id"], after_id))
    return Gallery(samples.filter(chosen), labels).first(7, budget_bytes=60_000)
