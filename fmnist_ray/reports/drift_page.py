"""The drift report of one night: a page and JSON with every number."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_ray.labels import Labels
from fmnist_ray.reports import formats
from fmnist_ray.reports.drift import LIMITS, MIN_ROWS, UNSURE, KindVerdict, NightVerdict, State, watched_shares
from fmnist_ray.reports.gallery import Example, Gallery
from fmnist_ray.reports.page import render
from fmnist_ray.reports.statistics import NUM_BRIGHTNESS_BINS, RunStatistics
from fmnist_ray.reports.trend import MAX_CLASSES, trends

DRIFT_VERSION = 2
"""Raised whenever a key of `drift.json` changes its meaning or goes away."""

TREND_NIGHTS = 30
"""Nights that the page draws; `drift.json` has all."""

_NUM_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class NightFacts:
    """Which run a night was."""

    name: str
    """Its date, or the last part of its place."""
    out_uri: str
    plan_id: str
    bundle_digest: str
    committed_at: str
    """ISO 8601 with an offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Rows of tonight that the page shows."""

    gallery: Gallery
    """Of every class and reject reason."""
    photos: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """Photos with an alarm, by its name."""
    contradictions: Sequence[Example] = ()
    """Rows whose category (`true_label`) is another class than the photo surely shows, the surest first."""
    num_contradictions: int = 0
    """Of them in all."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The finished report. `content` holds every number of the page."""

    content: dict[str, Any]

    @property
    def verdict(self) -> str:
        """The night in one sentence."""
        return str(self.content["verdict"])

    @property
    def alarms(self) -> list[str]:
        """What moved, one sentence for each cause; empty where there is no alarm."""
        return list(self.content["alarms"])

    def to_json(self) -> bytes:
        """`drift.json`."""
        return json.dumps(self.content, indent=1, default=lambda example: example.to_dict()).encode() + b"\n"

    def to_html(self) -> bytes:
        """One self-contained page."""
        nights = self.content["nights"][-TREND_NIGHTS:]
        return render("drift.html.j2", report=self.content, nights=nights, trends=trends(nights))


def drift_report(
    facts: Sequence[NightFacts],
    statistics: Sequence[RunStatistics],
    verdicts: Sequence[NightVerdict],
    pictures: Pictures,
    labels: Labels,
    *,
    links: Mapping[str, str] | None = None,
) -> DriftReport:
    """The report of the last of several nights: facts and statistics of each, the reference first, and the verdict on
    each but the reference. `pictures` are of the last one, and `links` lead to its other pages, by their titles."""
    tonight = verdicts[-1]
    earlier = {"reference": watched_shares(statistics[0], labels), "last": watched_shares(statistics[-2], labels)}
    return DriftReport(
        {
            "drift_version": DRIFT_VERSION,
            "verdict": _verdict(tonight),
            "alarms": [_sentence(kind, change.name) for kind in tonight.alarms for change in kind.causes],
            "headlines": [_sentence(kind, kind.causes[0].name) for kind in tonight.alarms],
            "num_rows": tonight.num_rows,
            "num_rows_before": tonight.num_rows_before,
            "num_carried": statistics[-1].num_carried,
            "min_rows": MIN_ROWS,
            "links": [{"title": title, "href": href} for title, href in (links or {}).items()],
            "bundle_changed": len({night.bundle_digest for night in facts}) > 1,
            "kinds": [
                _kind(verdict, earlier, pictures, labels)
                for verdict in sorted(tonight.kinds, key=lambda verdict: verdict.state != State.ALARM)
            ],
            "contradictions": {"num_rows": pictures.num_contradictions, "examples": list(pictures.contradictions)},
            "nights": [
                _night(fact, counted, verdict, labels)
                for fact, counted, verdict in zip(facts, statistics, (None, *verdicts), strict=True)
            ],
        }
    )


def _verdict(tonight: NightVerdict) -> str:
    if tonight.too_little_data:
        return "Too little data to say whether anything changed"
    if not tonight.alarms:
        return "Tonight is like the nights before"
    names = [verdict.kind for verdict in tonight.alarms]
    return f"Alarm: tonight differs in {' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"


def _sentence(verdict: KindVerdict, name: str) -> str:
    change = next(change for change in verdict.changes if change.name == name)
    what = {
        "classes": f"class {name}",
        "confidence": f"predictions with a confidence {name}",
        "rejects": f"rejects for {name.replace('_', ' ')}",
        "brightness": f"images with a mean pixel value of {name}",
        "photos": "photos like no class" if name == "novel" else f"photos that are {name}",
        "categories": "categories that the photo contradicts",
    }[verdict.kind]
    shares = f"{formats.percent(change.before)} before, {formats.percent(change.tonight)} tonight"
    return f"{what}: {shares.replace(formats.THIN, ' ')}"


def _kind(
    verdict: KindVerdict, earlier: Mapping[str, Mapping[str, Mapping[str, float]]], pictures: Pictures, labels: Labels
) -> dict[str, Any]:
    """A kind of change, with what moved most; causes come first, with examples."""
    others = sorted(
        (change for change in verdict.changes if not change.over_limit and (change.before or change.tonight)),
        key=lambda change: -abs(change.tonight - change.before),
    )
    most = len(labels) if verdict.kind == "classes" and len(labels) <= MAX_CLASSES else _NUM_SHOWN
    shown = [*verdict.causes, *others][:most]
    examples = _examples(verdict, pictures)
    changes = {
        change.name: {
            **dataclasses.asdict(change),
            **{night: shares[verdict.kind].get(change.name) for night, shares in earlier.items()},
        }
        for change in verdict.changes
    }
    return {
        "kind": verdict.kind,
        "state": str(verdict.state),
        "evidence": verdict.evidence,
        "needed": verdict.needed,
        "limit_points": LIMITS[verdict.kind].points,
        "limit_factor": LIMITS[verdict.kind].factor,
        "upward_only": LIMITS[verdict.kind].upward_only,
        "changes": list(changes.values()),
        "shown": [{**changes[change.name], "examples": examples.get(change.name, [])} for change in shown],
    }


def _examples(verdict: KindVerdict, pictures: Pictures) -> Mapping[str, Sequence[Example]]:
    names = [change.name for change in verdict.causes[:_NUM_SHOWN]]
    if verdict.kind == "classes" and names:
        return dict(zip(names, pictures.gallery.by_label(names), strict=True))
    if verdict.kind == "rejects" and names:
        return dict(zip(names, pictures.gallery.by_reason(names), strict=True))
    return {name: pictures.photos.get(name, ()) for name in names} if verdict.kind == "photos" else {}


def _night(facts: NightFacts, counted: RunStatistics, verdict: NightVerdict | None, labels: Labels) -> dict[str, Any]:
    """One line of the trend; the reference has no verdict. A share of nothing is None."""
    shares = watched_shares(counted, labels)
    images = int(counted.brightness_histogram.sum())
    middles = (np.arange(NUM_BRIGHTNESS_BINS) + 0.5) * 256 / NUM_BRIGHTNESS_BINS
    photos = shares["photos"]
    return {
        **dataclasses.asdict(facts),
        "num_rows": counted.num_rows,
        "rejects_share": counted.num_rejects / counted.num_rows if counted.num_rows else None,
        "unsure_share": shares["confidence"].get(f"below {UNSURE}"),
        "novel_share": photos.get("novel"),
        "unusable_share": sum(share for name, share in photos.items() if name != "novel") if photos else None,
        "contradicted_share": shares["categories"].get("contradicted"),
        "mean_brightness": float(counted.brightness_histogram @ middles / images) if images else None,
        "classes": [{"label": label, "share": shares["classes"].get(label)} for label in labels],
        "state": "reference" if verdict is None else _worst(verdict),
    }


def _worst(verdict: NightVerdict) -> str:
    states = {kind.state for kind in verdict.kinds}
    for state in (State.ALARM, State.UNPROVEN, State.SMALL, State.STEADY):
        if state in states:
            return str(state)
    return str(State.TOO_LITTLE_DATA)
