"""The hybrid study: softmax against SVM heads on the same features, as two sentences, a page, JSON, and Markdown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fmnist_ray.reports import formats
from fmnist_ray.reports.page import render

SVMS: tuple[Literal["linear", "rbf"], ...] = ("linear", "rbf")
"""The SVM heads, by the kind that `fit-svm` takes."""
_FEWEST = 2
"""Of the networks: no sentence is made of one."""


@dataclass(frozen=True, slots=True)
class HeadsReport:
    """The finished study. `content` holds every number of the page."""

    content: dict[str, Any]
    columns: ClassVar[tuple[str, ...]] = (
        "network",
        "labels",
        "seeds",
        "softmax",
        "linear SVM",
        "minus softmax",
        "RBF SVM",
        "minus softmax",
    )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One for each network and number of labelled images."""
        rows: list[dict[str, Any]] = self.content["rows"]
        return rows

    def files(self) -> dict[str, bytes]:
        """Every file by its name; the page goes last."""
        return {
            "heads.json": json.dumps(self.content, indent=1).encode() + b"\n",
            "heads.md": self.to_markdown().encode(),
            "heads.html": render("heads.html.j2", report=self.content, sentences=self.sentences(), verdict=verdict),
        }

    def sentences(self) -> list[str]:
        """What the figures say: with all labels, and with fewer or on corrupted images. None before two networks are
        done."""
        most = max((row["num_rows"] for row in self.rows), default=0)
        whole = [row for row in self.rows if row["num_rows"] == most]
        if len(whole) < _FEWEST:
            return []
        trained = [row for row in self.rows if row["num_rows"] < most and not row["refitted"]]
        sizes = sorted({row["num_rows"] for row in trained})
        parts = [
            f"{_mean_difference([row for row in trained if row['num_rows'] == size])} with {size:,} labels"
            for size in sizes
        ]
        if corrupted := self.content["corruptions"]:
            parts.append(f"{_mean_difference(corrupted)} with all of them on corrupted images")
        first = _all_labels(whole, most)
        if not parts:
            return [first]
        return [first, f"For an RBF SVM, in the mean over networks trained on as many, it is {_listed(parts)}."]

    def to_markdown(self) -> str:
        """The sentences, and the table."""
        lines = [*self.sentences(), ""] if self.sentences() else []
        lines += [f"| {' | '.join(self.columns)} |", f"|---|{'--:|' * (len(self.columns) - 1)}"]
        lines += [f"| {' | '.join(map(str, cells))} |" for cells in self.table()]
        return "\n".join(lines).replace(formats.THIN, " ") + "\n"

    def table(self) -> list[tuple[str | int, ...]]:
        """The cells of the rows, as text, by `columns`."""
        return [
            (
                row["network"],
                f"{row['num_rows']:,}",
                row["num_seeds"],
                formats.percent(row["softmax"]["accuracy"], 2),
                *(cell for name in SVMS for cell in _cells(row["svms"][name])),
            )
            for row in self.rows
        ]


def verdict(against: dict[str, Any]) -> str:
    """Whether an SVM is better than softmax by more than the choice of test images explains."""
    if against["difference_low"] > 0:
        return "better"
    return "worse" if against["difference_high"] < 0 else "undecided"


def _cells(against: dict[str, Any]) -> tuple[str, str]:
    half = 50 * (against["difference_high"] - against["difference_low"])
    return formats.percent(against["accuracy"], 2), f"{formats.points(against['difference'])} ± {half:.2f}"


def _all_labels(rows: Sequence[dict[str, Any]], most: int) -> str:
    found = [row["svms"][name] for row in rows for name in SVMS]
    differences = [against["difference"] for against in found]
    verdicts = [verdict(against) for against in found]
    seeds = max(row["num_seeds"] for row in rows)
    return (
        f"With all {most:,} labelled images, the accuracy of an SVM minus that of softmax on the same features is "
        f"{formats.points(min(differences))} to {formats.points(max(differences))} points ({len(rows)} networks, "
        f"linear and RBF, {seeds} {'seed' if seeds == 1 else 'seeds'}, 10,000 test images); of these "
        f"{len(found)} differences {verdicts.count('better')} are above 0 with 95 % confidence and "
        f"{verdicts.count('worse')} below."
    )


def _mean_difference(rows: Sequence[dict[str, Any]]) -> str:
    """Of the RBF SVM: the mean over networks, and how far they lie apart."""
    differences = [row["svms"]["rbf"]["difference"] for row in rows]
    mean = formats.points(statistics.fmean(differences))
    return f"{mean} ({formats.points(min(differences))} to {formats.points(max(differences))})"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
