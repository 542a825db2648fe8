"""The report of a committed run. Derived from the commit and the samples: it can be written anew at any time."""

from __future__ import annotations

import json
from typing import Any

from fmnist_ray import __version__
from fmnist_ray.catalogue.commit import Commit
from fmnist_ray.catalogue.results import Results, open_results, report_key
from fmnist_ray.errors import NotFoundError
from fmnist_ray.reports.run_page import RunFacts, run_report
from fmnist_ray.reports.statistics import RunStatistics
from fmnist_ray.store import Store, open_store


def write_report(store: Store, commit: Commit) -> str:
    """Write the page and its numbers beside the run, unless they are there, and return the page's URI."""
    page = report_key(commit.plan_id, "html")
    if not any(info.key == page for info in store.list(page)):
        _write(store, commit)
    return f"{store.uri}/{page}"


def rebuild_report(out_uri: str, *, plan_id: str | None = None) -> str:
    """Write the report of the committed run at `out_uri` anew and return the page's URI; no image is read again."""
    store = open_store(out_uri)
    commit = open_results(out_uri, plan_id=plan_id).commit
    _write(store, commit)
    return f"{store.uri}/{report_key(commit.plan_id, 'html')}"


def _write(store: Store, commit: Commit) -> None:
    facts = commit.facts
    run = RunFacts(
        plan_id=commit.plan_id,
        catalogue_uri=facts["catalogue_uri"],
        out_uri=store.uri,
        bundle_uri=facts.get("alias") or facts["bundle"],
        bundle_digest=facts["bundle_digest"],
        architecture=facts["architecture"],
        precision=facts["precision"],
        runtime=facts["runtime"],
        committed_at=facts["committed_at"],
        elapsed_s=facts["elapsed_s"],
        rows_per_s=facts["rows_per_s"],
        num_shards=facts["num_shards"],
        num_files=len(commit.files),
        num_workers=facts["num_workers"],
        program_version=__version__,
        previous_plan_id=commit.previous,
        promises=facts.get("promises"),
        thresholds=facts.get("thresholds"),
        review=_review(store, commit.plan_id),
    )
    samples = Results(store, commit).samples()
    report = run_report(run, RunStatistics.from_dict(commit.statistics), samples, tuple(facts["labels"]))
    store.put(report_key(commit.plan_id, "json"), report.to_json())
    store.put(report_key(commit.plan_id, "html"), report.to_html())


def _review(store: Store, plan_id: str) -> dict[str, Any] | None:
    """What reviewed rows say of the run, once there are any."""
    try:
        estimate: dict[str, Any] = json.loads(store.get(f"review/{plan_id}/estimate.json"))
    except NotFoundError:
        return None
    return estimate
