"""The review queue as a page: pictures, what the heads say, and why a row is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_ray.reports.gallery import Picture, embedded_picture
from fmnist_ray.reports.page import render


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRow:
    """A row of the queue with its picture."""

    row: dict[str, Any]
    """Columns of `schema.REVIEW_QUEUE`"""
    thumbnail: bytes | None
    """PNG"""
    overlay: bytes | None = None
    """PNG of the heat map over the photo"""

    @property
    def explained(self) -> Picture | None:
        """The heat map as pages embed it."""
        return embedded_picture(self.overlay)

    @property
    def picture(self) -> Picture | None:
        """As pages embed it."""
        return embedded_picture(self.thumbnail)

    @property
    def why(self) -> str:
        """Why the row is in the queue, in a few words."""
        row = self.row
        if row["audit"]:
            return f"drawn at random, decided: {row['decision']}"
        if row["agree"] is False:
            return "the two heads differ"
        if len(row["label_set"]) > 1:
            return f"{len(row['label_set'])} classes are likely"
        return "no class is typical" if not row["label_set"] else str(row["decision_reason"])


def review_page(rows: Sequence[QueuedRow], *, num_rows: int, num_audit: int, plan_id: str) -> bytes:
    """`queue.html`: the first rows of a queue of `num_rows`, of which `num_audit` were drawn at random."""
    return render("review.html.j2", rows=rows, num_rows=num_rows, num_audit=num_audit, plan_id=plan_id)
