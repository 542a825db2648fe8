"""A night: the catalogue of a date is classified into its folder, published, and compared with the nights before.

Starting it twice or late is safe: the same night resumes or finds its work done, and the pointer only moves to newer
dates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from fmnist_ray.catalogue.commit import read_plan
from fmnist_ray.catalogue.nights import Night, newest_night, night_uri, publish_night, published_dates
from fmnist_ray.config.nightly import DATE_PLACE, NightlySettings
from fmnist_ray.errors import RefusedError
from fmnist_ray.flows.classify import RunSummary, classify
from fmnist_ray.flows.drift import DriftSummary, write_night_drift
from fmnist_ray.flows.rounds import Executor
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class NightSummary:
    """What a night came to."""

    date: str
    newest_date: str
    """The night that readers of the root get now; a later one where this one came late."""
    previous_date: str | None
    """The published night before this one."""
    run: RunSummary
    verdict: str
    """What the drift report says of the night."""
    alarms: tuple[str, ...]
    """What differs from the nights before, a sentence each."""
    drift_uri: str | None
    """The page of the drift report; None for a night that is the first."""


def nightly(
    settings: NightlySettings,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> NightSummary:
    """Classify the night of `settings.date`, publish it, and write its drift report; what the night before has
    classified is carried over.

    Raises what `classify` does, and `RefusedError` for a night with an alarm under `settings.gate`; then nothing is
    published.
    """
    date = settings.date.isoformat()
    root = open_store(settings.root_uri)
    run_settings = dataclasses.replace(
        settings.run,
        catalogue_uri=settings.run.catalogue_uri.replace(DATE_PLACE, date),
        out_uri=night_uri(settings.root_uri, date),
        since_uri=_earlier_results(settings, date),
    )
    run = classify(run_settings, open_executor, on_progress=on_progress)
    previous = newest_night(root, before=date)
    if settings.gate and date not in published_dates(root):
        judged = write_night_drift(settings.root_uri, date, reference_uri=settings.reference_uri)
        if judged is not None and judged.report.alarms:
            raise RefusedError(_held_back(date, judged))
    night = Night(
        date=date,
        plan_id=run.plan_id,
        bundle_digest=run.bundle_digest,
        num_rows=run.num_rows,
        num_predictions=run.num_predictions,
        num_rejects=run.num_rejects,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    newest = publish_night(root, night)
    # A report comes after what it reports: it can be written again, and nobody should wait for it.
    drift = write_night_drift(settings.root_uri, date, reference_uri=settings.reference_uri)
    return NightSummary(
        date=date,
        newest_date=newest.date,
        previous_date=None if previous is None else previous.date,
        run=run,
        verdict="The first night: there is nothing to compare it with" if drift is None else drift.report.verdict,
        alarms=() if drift is None else tuple(drift.report.alarms),
        drift_uri=None if drift is None else drift.report_uri,
    )


def _held_back(date: str, drift: DriftSummary) -> str:
    causes = "; ".join(drift.report.alarms[:3])
    return (
        f"Night {date} is classified but not published. {drift.report.verdict} ({causes}); see {drift.report_uri}. "
        "The same command without --gate publishes it."
    )


def _earlier_results(settings: NightlySettings, date: str) -> str | None:
    """Where answers are carried over from: the published night before. A night that has begun keeps its choice,
    whatever was published since, or it would be another plan."""
    if settings.full:
        return None
    plan = read_plan(open_store(night_uri(settings.root_uri, date)))
    if plan is not None:
        since: dict[str, str] | None = plan.promises.get("since")
        return None if since is None else since["uri"]
    previous = newest_night(open_store(settings.root_uri), before=date)
    return None if previous is None else night_uri(settings.root_uri, previous.date)
