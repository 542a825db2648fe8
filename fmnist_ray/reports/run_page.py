"""The report of one run: `report.json`, and a page that shows the same numbers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fmnist_ray.labels import Labels
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.page import render
from fmnist_ray.reports.run_content import run_content
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.schema import Reason

_MEANINGS = {
    Reason.EMPTY: "Null, or no bytes.",
    Reason.WRONG_TYPE: "The cell does not hold the bytes of an image.",
    Reason.NOT_FOUND: "The image that the cell names does not exist.",
    Reason.NOT_ALLOWED: "The image lies outside the allowed prefixes.",
    Reason.TOO_LARGE: "More bytes or pixels than allowed.",
    Reason.UNSUPPORTED_FORMAT: "Not PNG, JPEG or WebP.",
    Reason.TRUNCATED: "The data ends before the image does.",
    Reason.UNDECODABLE: "Of a known format, but broken.",
    Reason.UNUSABLE: "Decodes, but holds nothing to classify.",
    Reason.WORKER_DIED: "The process that tried it ended without an answer.",
}
"""What each reason means, for readers of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run was, as its commit tells it."""

    plan_id: str
    catalogue_uri: str
    out_uri: str
    bundle_uri: str
    bundle_digest: str
    architecture: str
    precision: str
    """Of the arithmetic: f32 or bf16."""
    runtime: str | None
    """What computed: cpu or gpu. None, like `rows_per_s` and `num_workers`, when no row was left to classify."""
    committed_at: str
    """ISO 8601 with an offset."""
    elapsed_s: float
    """Wall-clock time of the command that committed."""
    rows_per_s: float | None
    num_shards: int
    num_files: int
    num_workers: int | None
    program_version: str
    previous_plan_id: str | None = None
    """The run that this one replaced."""
    promises: dict[str, Any] | None = None
    """What holds of the rows' decisions, as `config.decisions.Promises` has it."""
    thresholds: list[float] | None = None
    """By label, the confidence from which on a row was accepted; None where no precision was promised."""
    review: dict[str, Any] | None = None
    """What reviewed rows say of the run: how many there are, and the precision of accepted rows with an interval."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The finished report. `content` holds every number of the page."""

    content: dict[str, Any]

    def to_json(self) -> bytes:
        """`report.json`."""
        return json.dumps(self.content, indent=1, default=lambda example: example.to_dict()).encode() + b"\n"

    def to_html(self) -> bytes:
        """One self-contained page: some 200 kB for images of 28 pixels, at most about 2.5 MB for photos."""
        return render("run.html.j2", report=self.content, meanings=_MEANINGS)


def run_report(run: RunFacts, statistics: RunStatistics, samples: pa.Table, labels: Labels) -> RunReport:
    """The report of a run from its facts, its merged statistics, and its samples (`schema.SAMPLES`)."""
    return RunReport(run_content(dataclasses.asdict(run), statistics, Gallery(samples, labels), labels))
