"""The drift report of one night: a page and JSON with every number."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_ray.labels import Labels
from fmnist_ray.reports.drift import LIMITS, MIN_ROWS, UNSURE, KindVerdict, NightVerdict, State
from fmnist_ray.reports.gallery import Example, Gallery
from fmnist_ray.reports.page import render
from fmnist_ray.reports.statistics import NUM_BRIGHTNESS_BINS, NUM_CONFIDENCE_BINS, RunStatistics

DRIFT_VERSION = 1
"""Raised whenever a key of `drift.json` changes its meaning or goes away."""

_NUM_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class NightFacts:
    """Which run a night was."""

    out_uri: str
    plan_id: str
    bundle_digest: str
    committed_at: str
    """ISO 8601 with an offset."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The finished report. `content` holds every number of the page."""

    content: dict[str, Any]

    @property
    def alarms(self) -> list[str]:
        """What moved, one sentence for each cause; empty where there is no alarm."""
        return list(self.content["alarms"])

    def to_json(self) -> bytes:
        """`drift.json`."""
        return json.dumps(self.content, indent=1, default=lambda example: example.to_dict()).encode() + b"\n"

    def to_html(self) -> bytes:
        """One self-contained page."""
        return render("drift.html.j2", report=self.content)


def drift_report(
    facts: Sequence[NightFacts],
    statistics: Sequence[RunStatistics],
    verdicts: Sequence[NightVerdict],
    gallery: Gallery,
    labels: Labels,
) -> DriftReport:
    """The report of the last of several nights: facts and statistics of each, the reference first, and the verdict on
    each but the reference. `gallery` has examples of the last one."""
    tonight = verdicts[-1]
    return DriftReport(
        {
            "drift_version": DRIFT_VERSION,
            "verdict": _verdict(tonight),
            "alarms": [_sentence(kind, change.name) for kind in tonight.alarms for change in kind.causes],
            "num_rows": tonight.num_rows,
            "num_rows_before": tonight.num_rows_before,
            "min_rows": MIN_ROWS,
            "bundle_changed": len({night.bundle_digest for night in facts}) > 1,
            "kinds": [_kind(verdict, statistics, gallery, labels) for verdict in tonight.kinds],
            "nights": [
                _night(fact, counted, verdict)
                for fact, counted, verdict in zip(facts, statistics, (None, *verdicts), strict=True)
            ],
        }
    )


def _verdict(tonight: NightVerdict) -> str:
    if tonight.too_little_data:
        return "Too little data to say whether anything changed"
    if not tonight.alarms:
        return "Tonight is like the nights before"
    names = " and ".join(verdict.kind for verdict in tonight.alarms)
    return f"Alarm: tonight differs in {names}"


def _sentence(verdict: KindVerdict, name: str) -> str:
    change = next(change for change in verdict.changes if change.name == name)
    what = {
        "classes": f"class {name}",
        "confidence": f"predictions with a confidence {name}",
        "rejects": f"rejects for {name.replace('_', ' ')}",
        "brightness": f"images with a mean pixel value of {name}",
    }[verdict.kind]
    return f"{what}: {change.before:.1%} of rows before, {change.tonight:.1%} tonight"


def _kind(
    verdict: KindVerdict, statistics: Sequence[RunStatistics], gallery: Gallery, labels: Labels
) -> dict[str, Any]:
    """A kind of change, with what moved most; causes come first, with examples."""
    causes = verdict.causes[:_NUM_SHOWN]
    others = sorted(
        (change for change in verdict.changes if not change.over_limit),
        key=lambda change: -abs(change.tonight - change.before),
    )
    shown = [*causes, *others][: max(_NUM_SHOWN, len(labels) if verdict.kind == "classes" and len(labels) <= 12 else 0)]
    examples = _examples(verdict, gallery)
    return {
        "kind": verdict.kind,
        "state": str(verdict.state),
        "evidence": verdict.evidence,
        "needed": verdict.needed,
        "limit_points": LIMITS[verdict.kind].points,
        "limit_factor": LIMITS[verdict.kind].factor,
        "changes": [dataclasses.asdict(change) for change in verdict.changes],
        "shown": [{**dataclasses.asdict(change), "examples": examples.get(change.name, [])} for change in shown],
    }


def _examples(verdict: KindVerdict, gallery: Gallery) -> dict[str, list[Example]]:
    names = [change.name for change in verdict.causes[:_NUM_SHOWN]]
    if verdict.kind == "classes":
        return dict(zip(names, gallery.by_label(names), strict=True)) if names else {}
    if verdict.kind == "rejects":
        return dict(zip(names, gallery.by_reason(names), strict=True)) if names else {}
    return {}


def _night(facts: NightFacts, counted: RunStatistics, verdict: NightVerdict | None) -> dict[str, Any]:
    """One line of the trend; the reference has no verdict."""
    unsure = int(counted.confidence_histogram[:, : round(UNSURE * NUM_CONFIDENCE_BINS)].sum())
    images = int(counted.brightness_histogram.sum())
    middles = (np.arange(NUM_BRIGHTNESS_BINS) + 0.5) * 256 / NUM_BRIGHTNESS_BINS
    return {
        **dataclasses.asdict(facts),
        "num_rows": counted.num_rows,
        "rejects_share": counted.num_rejects / counted.num_rows if counted.num_rows else None,
        "unsure_share": unsure / counted.num_predictions if counted.num_predictions else None,
        "mean_brightness": float(counted.brightness_histogram @ middles / images) if images else None,
        "state": "reference" if verdict is None else _worst(verdict),
    }


def _worst(verdict: NightVerdict) -> str:
    states = {kind.state for kind in verdict.kinds}
    for state in (State.ALARM, State.UNPROVEN, State.SMALL, State.STEADY):
        if state in states:
            return str(state)
    return str(State.TOO_LITTLE_DATA)
