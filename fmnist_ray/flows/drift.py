"""Tonight's run against the runs before it: has anything changed?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fmnist_ray.catalogue.nights import night_uri, published_dates
from fmnist_ray.catalogue.results import Results, open_results
from fmnist_ray.errors import IncompleteError, SettingError
from fmnist_ray.flows.drift_pictures import drift_pictures
from fmnist_ray.flows.review_queue import queue_key
from fmnist_ray.reports.drift import judge_nights
from fmnist_ray.reports.drift_page import DriftReport, NightFacts, drift_report
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import open_store

_READERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSummary:
    """A drift report that was written."""

    report: DriftReport
    report_uri: str


def write_drift(out_uri: str, against: Sequence[str], *, report_uri: str | None = None) -> DriftSummary:
    """Judge the committed run at `out_uri` and write `drift.html` and `drift.json`, beside its report or at
    `report_uri`.

    `against` names earlier runs, the oldest first: the first one is known to be good, a night or a run over training
    images. Only statistics are read, and a few pictures. `SettingError` for runs of different labels.
    """
    if not against:
        raise SettingError("There is nothing to compare with: name at least one earlier run.")
    runs = [open_results(uri) for uri in (*against, out_uri)]
    for run in runs[:-1]:
        if run.commit.facts["labels"] != runs[-1].commit.facts["labels"]:
            raise SettingError(
                f"The run at {run.uri} has other labels than the one at {out_uri}: they can't be compared."
            )
    return _write(runs, report_uri)


def write_night_drift(root_uri: str, date: str, *, reference_uri: str | None = None) -> DriftSummary | None:
    """Judge the committed night of `date` against the published nights before it, and write the report beside its own.

    The first of those nights is known to be good, unless `reference_uri` names another run that is. Nights of other
    labels, and nights whose results were removed, count for nothing. None where there is nothing to compare with.
    """
    tonight = open_results(night_uri(root_uri, date))
    dates = published_dates(open_store(root_uri), before=date)
    places = [*([] if reference_uri is None else [reference_uri]), *(night_uri(root_uri, earlier) for earlier in dates)]
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(_open_if_there, places)
    labels = tonight.commit.facts["labels"]
    runs = [run for run in found if run is not None and run.commit.facts["labels"] == labels]
    return _write([*runs, tonight], None) if runs else None


def _open_if_there(uri: str) -> Results | None:
    try:
        return open_results(uri)
    except IncompleteError:
        return None


def _write(runs: Sequence[Results], report_uri: str | None) -> DriftSummary:
    """The report of the last of several runs of the same labels."""
    tonight = runs[-1]
    labels = tuple(tonight.commit.facts["labels"])
    statistics = [RunStatistics.from_dict(run.commit.statistics) for run in runs]
    verdicts = judge_nights(statistics[0], statistics[1:], labels)
    pictures = drift_pictures(tonight, verdicts[-1], labels)
    facts, links = [_facts(run) for run in runs], None if report_uri else _links(tonight)
    report = drift_report(facts, statistics, verdicts, pictures, labels, links=links)
    store = open_store(report_uri or f"{tonight.uri}/report/{tonight.commit.plan_id}")
    store.put("drift.json", report.to_json())
    store.put("drift.html", report.to_html())
    return DriftSummary(report=report, report_uri=f"{store.uri}/drift.html")


def _links(run: Results) -> dict[str, str]:
    """The other pages of a run, seen from the one beside its report."""
    links = {"Run report": "report.html"}
    if run.commit.facts.get("thresholds") is not None:
        links["Review queue"] = f"../../{queue_key(run.commit.plan_id, 'html')}"
    return links


def _facts(run: Results) -> NightFacts:
    facts = run.commit.facts
    return NightFacts(
        name=run.uri.rstrip("/").rpartition("/")[2],
        out_uri=run.uri,
        plan_id=run.commit.plan_id,
        bundle_digest=facts["bundle_digest"],
        committed_at=facts["committed_at"],
    )
