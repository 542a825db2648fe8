"""Tonight's run against the runs before it: has anything changed?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_ray.catalogue.results import Results, open_results
from fmnist_ray.errors import SettingError
from fmnist_ray.reports.drift import judge_nights
from fmnist_ray.reports.drift_page import DriftReport, NightFacts, drift_report
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSummary:
    """A drift report that was written."""

    report: DriftReport
    report_uri: str


def write_drift(out_uri: str, against: Sequence[str], *, report_uri: str | None = None) -> DriftSummary:
    """Judge the committed run at `out_uri` and write `drift.html` and `drift.json`, beside its report or at
    `report_uri`.

    `against` names earlier runs, the oldest first: the first one is known to be good, a night or a run over training
    images. Only statistics are read. `SettingError` for runs of different labels.
    """
    if not against:
        raise SettingError("There is nothing to compare with: name at least one earlier run.")
    runs = [open_results(uri) for uri in (*against, out_uri)]
    labels = tuple(runs[-1].commit.facts["labels"])
    for uri, run in zip(against, runs, strict=False):
        if tuple(run.commit.facts["labels"]) != labels:
            raise SettingError(f"The run at {uri} has other labels than the one at {out_uri}: they can't be compared.")
    statistics = [RunStatistics.from_dict(run.commit.statistics) for run in runs]
    verdicts = judge_nights(statistics[0], statistics[1:], labels)
    facts = [_facts(uri, run) for uri, run in zip((*against, out_uri), runs, strict=True)]
    report = drift_report(facts, statistics, verdicts, Gallery(runs[-1].samples(), labels), labels)
    store = open_store(report_uri or f"{open_store(out_uri).uri}/report/{runs[-1].commit.plan_id}")
    store.put("drift.json", report.to_json())
    store.put("drift.html", report.to_html())
    return DriftSummary(report=report, report_uri=f"{store.uri}/drift.html")


def _facts(uri: str, run: Results) -> NightFacts:
    facts = run.commit.facts
    return NightFacts(
        out_uri=uri,
        plan_id=run.commit.plan_id,
        bundle_digest=facts["bundle_digest"],
        committed_at=facts["committed_at"],
    )
