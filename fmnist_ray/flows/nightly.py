"""A night: the catalogue of a date is classified into the folder of that date, and published once it is committed.

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
from fmnist_ray.catalogue.nights import Night, newest_night, night_uri, publish_night
from fmnist_ray.config.nightly import DATE_PLACE, NightlySettings
from fmnist_ray.flows.classify import RunSummary, classify
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


def nightly(
    settings: NightlySettings,
    open_executor: Callable[[], AbstractContextManager[Executor]],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> NightSummary:
    """Classify and publish the night of `settings.date`; what the night before has classified is carried over.

    Raises what `classify` does; then nothing is published.
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
    return NightSummary(
        date=date,
        newest_date=newest.date,
        previous_date=None if previous is None else previous.date,
        run=run,
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
