"""Is tonight like the nights before? Effect sizes with limits, and evidence that may be looked at every night.

Everything watched is a share: of each class, of unsure predictions, of each reject reason, of each band of brightness,
of photos that are like no class or unusable, and of rows whose category in the catalogue contradicts the photo.
An alarm needs two things at once. The share must have moved by more than its limit, so that a million rows don't make
every trifle an alarm. And the evidence that it moved at all must pass a level that chance passes, over all nights
together, at most one time in twenty, so that a thousand rows don't either.

Each night's e-values (see `evidence.py`) are averaged over the shares of a kind, and their running products, begun at
every night with weights that add up to one, are a process that exceeds 1/alpha with probability alpha at most, ever
(Ville's inequality; Ramdas et al., Statistical Science 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.labels import Labels
from fmnist_ray.reports.evidence import e_values
from fmnist_ray.reports.statistics import NUM_BRIGHTNESS_BINS, NUM_CONFIDENCE_BINS, RunStatistics
from fmnist_ray.schema import PHOTO_PROBLEMS, Reason

FALSE_ALARM_RATE = 0.05
"""Chance of any alarm ever, while nothing changes."""
MIN_ROWS = 300
"""Fewer rows tonight, or before, are too little data to judge."""
UNSURE = 0.8
"""Predictions below this confidence are unsure."""
PHOTO_ALARMS = ("novel", *PHOTO_PROBLEMS)
"""Like no class, or with something wrong."""
NUM_BANDS = 16
"""Equal bands of brightness."""

_FACTOR = 1.5
_ENOUGH = 1e12
"""Where the evidence stops to count."""


class State(StrEnum):
    """What is known of one kind of change."""

    STEADY = "steady"
    SMALL = "small"
    """There is a change, but none over its limit."""
    UNPROVEN = "unproven"
    """A share moved by more than its limit, which may yet be chance."""
    ALARM = "alarm"
    TOO_LITTLE_DATA = "too_little_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How far a share may move without an alarm."""

    points: float
    """At least so much, as a share in 0..1."""
    factor: float = 1.0
    """And at least so many times more, or less."""
    upward_only: bool = False

    def passed(self, before: NDArray[np.float64], tonight: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which shares moved by more than this."""
        moved = tonight - before if self.upward_only else np.abs(tonight - before)
        low, high = np.minimum(before, tonight), np.maximum(before, tonight)
        return np.asarray((moved >= self.points) & (high >= self.factor * low))


LIMITS = {
    "classes": Limit(points=0.02, factor=_FACTOR),
    "confidence": Limit(points=0.05),
    "rejects": Limit(points=0.01, factor=_FACTOR, upward_only=True),
    "brightness": Limit(points=0.02, factor=_FACTOR),
    "photos": Limit(points=0.01, factor=_FACTOR, upward_only=True),
    "categories": Limit(points=0.02, factor=1.25, upward_only=True),
}
"""What is watched, by kind."""

_OPTIONAL = ("photos", "categories")
"""Kinds that not every run has counts of: they take held-out rows in the bundle, and labels in the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One share before and tonight."""

    name: str
    before: float
    tonight: float
    over_limit: bool
    evidence: float
    """e-value of tonight alone: how many times better a change explains it than none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindVerdict:
    """One kind of change, tonight."""

    kind: str
    state: State
    evidence: float
    """Of the process over all nights; an alarm takes `needed`."""
    needed: float
    changes: tuple[Change, ...]
    """Every share of this kind; for an alarm, the causes are those over the limit, the strongest evidence first."""

    @property
    def causes(self) -> tuple[Change, ...]:
        """What moved by more than the limit, the strongest evidence first."""
        return tuple(sorted((change for change in self.changes if change.over_limit), key=lambda it: -it.evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class NightVerdict:
    """One night against all before it."""

    num_rows: int
    num_rows_before: int
    kinds: tuple[KindVerdict, ...]

    @property
    def alarms(self) -> tuple[KindVerdict, ...]:
        """The kinds that raise the alarm."""
        return tuple(kind for kind in self.kinds if kind.state == State.ALARM)

    @property
    def too_little_data(self) -> bool:
        """Whether nothing could be judged."""
        return all(kind.state == State.TOO_LITTLE_DATA for kind in self.kinds)


class DriftWatch:
    """Judges night after night. A night without an alarm becomes part of what is normal; one with an alarm does not,
    and the evidence of its kind starts anew."""

    def __init__(self, reference: RunStatistics, labels: Labels) -> None:
        self._labels = labels
        self._past = RunStatistics.empty(len(labels))
        self._past.merge(reference)
        self._products = dict.fromkeys(LIMITS, 0.0)
        self._num_nights = 0

    def judge(self, tonight: RunStatistics) -> NightVerdict:
        """The verdict on the next night."""
        self._num_nights += 1
        before, now = _cells(self._past, self._labels), _cells(tonight, self._labels)
        known = (kind for kind in LIMITS if kind not in _OPTIONAL or now[kind].total)
        kinds = tuple(self._judge(kind, before[kind], now[kind]) for kind in known)
        verdict = NightVerdict(num_rows=tonight.num_rows, num_rows_before=self._past.num_rows, kinds=kinds)
        if not verdict.alarms:
            self._past.merge(tonight)
        return verdict

    def _judge(self, kind: str, before: _Counted, tonight: _Counted) -> KindVerdict:
        needed = len(LIMITS) / FALSE_ALARM_RATE
        if min(before.total, tonight.total) < MIN_ROWS:
            return KindVerdict(
                kind=kind, state=State.TOO_LITTLE_DATA, evidence=self._products[kind], needed=needed, changes=()
            )
        evidence = e_values(tonight.counts, tonight.total, before.counts, before.total)
        share_before, share_tonight = before.counts / before.total, tonight.counts / tonight.total
        over = LIMITS[kind].passed(share_before, share_tonight)
        weight = 1 / (self._num_nights * (self._num_nights + 1))
        self._products[kind] = min(_ENOUGH, float(evidence.mean()) * (self._products[kind] + weight))
        process = self._products[kind] + 1 / (self._num_nights + 1)
        proven = process >= needed
        state = {
            (True, True): State.ALARM,
            (True, False): State.SMALL,
            (False, True): State.UNPROVEN,
            (False, False): State.STEADY,
        }[proven, bool(over.any())]
        if state == State.ALARM:
            self._products[kind] = 0.0
        columns = zip(
            tonight.names, share_before.tolist(), share_tonight.tolist(), over.tolist(), evidence.tolist(), strict=True
        )
        changes = tuple(
            Change(name=name, before=old, tonight=new, over_limit=moved, evidence=found)
            for name, old, new, moved, found in columns
        )
        return KindVerdict(kind=kind, state=state, evidence=process, needed=needed, changes=changes)


def watched_shares(statistics: RunStatistics, labels: Labels) -> dict[str, dict[str, float]]:
    """Everything that is watched of a night, by kind and name, as shares; a kind of which nothing is known is empty."""
    return {
        kind: dict(zip(cells.names, (cells.counts / cells.total).tolist(), strict=True)) if cells.total else {}
        for kind, cells in _cells(statistics, labels).items()
    }


def judge_nights(reference: RunStatistics, nights: Sequence[RunStatistics], labels: Labels) -> tuple[NightVerdict, ...]:
    """The verdict on each of the nights, in order, that followed the reference: a night known to be good, or a run over
    training images."""
    watch = DriftWatch(reference, labels)
    return tuple(watch.judge(night) for night in nights)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """Rows by cell, of so many in all."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    total: int


def _cells(statistics: RunStatistics, labels: Labels) -> dict[str, _Counted]:
    by_confidence = statistics.confidence_histogram.sum(axis=0)
    unsure = int(by_confidence[: round(UNSURE * NUM_CONFIDENCE_BINS)].sum())
    width = 256 // NUM_BANDS
    bands = statistics.brightness_histogram.reshape(NUM_BANDS, NUM_BRIGHTNESS_BINS // NUM_BANDS).sum(axis=1)
    return {
        "classes": _Counted(
            names=labels, counts=np.array(statistics.rows_by_label, np.int64), total=statistics.num_predictions
        ),
        "confidence": _Counted(
            names=(f"below {UNSURE}",), counts=np.array([unsure], np.int64), total=statistics.num_predictions
        ),
        "rejects": _Counted(
            names=tuple(str(reason) for reason in Reason),
            counts=np.array([statistics.rejects_by_reason[reason] for reason in Reason], np.int64),
            total=statistics.num_rows,
        ),
        "brightness": _Counted(
            names=tuple(f"{width * band} to {width * (band + 1)}" for band in range(NUM_BANDS)),
            counts=bands,
            total=int(bands.sum()),
        ),
        "photos": _Counted(
            names=PHOTO_ALARMS,
            counts=np.array([statistics.decisions[f"alarm/{name}"] for name in PHOTO_ALARMS], np.int64),
            total=sum(rows for name, rows in statistics.decisions.items() if name.removeprefix("set/").isdigit()),
        ),
        "categories": _Counted(
            names=("contradicted",),
            counts=np.array([statistics.num_labelled - np.trace(statistics.label_confusion)], np.int64),
            total=statistics.num_labelled,
        ),
    }
