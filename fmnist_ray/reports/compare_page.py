"""The table of a comparison of models: a page, JSON, and Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from fmnist_ray.reports import formats
from fmnist_ray.reports.page import render

COMPARE_VERSION = 1
"""Raised whenever a key of the JSON changes its meaning or goes away."""


@dataclass(frozen=True, slots=True)
class CompareReport:
    """The finished table. `content` holds every number of the page."""

    content: dict[str, Any]
    columns: ClassVar[tuple[str, ...]] = (
        "model",
        "reported",
        "ours",
        "seeds",
        "parameters",
        "multiply-adds",
        "training (one core)",
        "images/s (one core)",
        "calibration error",
    )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, the most accurate first."""
        return sorted(self.content["rows"], key=lambda row: -row["test_accuracy"])

    def table(self) -> list[tuple[str | int, ...]]:
        """The cells of the rows, as text, by `columns`."""
        return [
            (
                row["name"],
                _percent(row["reported"]),
                _ours(row),
                row["num_seeds"],
                _count(row["num_parameters"]),
                _count(row["multiply_adds"]),
                "" if row["fit_s"] is None else formats.duration(row["fit_s"]).replace(formats.THIN, " "),
                f"{row['images_per_s']:,.0f}",
                _percent(row["calibration_error"]),
            )
            for row in self.rows
        ]

    def below(self) -> list[tuple[list[str], str]]:
        """The rows that do not reach their report, by the cause."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            if verdict(row) == "below":
                names.setdefault(row.get("cause") or "cause not known", []).append(row["name"])
        return [(of_cause, cause) for cause, of_cause in names.items()]

    def files(self) -> dict[str, bytes]:
        """Every file by its name; the page goes last."""
        study = self.content["study"]
        return {
            f"{study}.json": json.dumps(self.content, indent=1).encode() + b"\n",
            f"{study}.md": self.to_markdown().encode(),
            f"{study}.html": render(
                "compare.html.j2", report=self.content, rows=self.rows, below=self.below(), verdict=verdict
            ),
        }

    def to_markdown(self) -> str:
        """The table for a README."""
        lines = [f"| {' | '.join(self.columns)} |", f"|---|{'--:|' * (len(self.columns) - 1)}"]
        lines += [f"| {' | '.join(map(str, cells))} |" for cells in self.table()]
        if below := self.below():
            causes = "; ".join(f"{' and '.join(names)} ({cause})" for names, cause in below)
            lines += ["", f"Below the reported figure: {causes}."]
        return "\n".join(lines) + "\n"


def verdict(row: dict[str, Any]) -> str | None:
    """How a row compares with its report; None where that gives no figure."""
    if row["reported"] is None:
        return None
    return "reached" if row["test_accuracy"] >= row["reported"] else "below"


def _ours(row: dict[str, Any]) -> str:
    spread = "" if row["spread"] is None else f" ± {100 * row['spread']:.2f}"
    return f"{100 * row['test_accuracy']:.2f} %{spread}{' (below)' if verdict(row) == 'below' else ''}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
