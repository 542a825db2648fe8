"""Compare models: train every one under its own recipe, with several seeds, and make one table of what they reach."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fmnist_ray import __version__
from fmnist_ray.config.compare import CompareSettings
from fmnist_ray.errors import NotFoundError
from fmnist_ray.flows.compare_rows import CompareRun, planned_runs, row_facts
from fmnist_ray.flows.compare_run import run_once
from fmnist_ray.flows.heads_study import HeadsRun, heads_content, planned_heads
from fmnist_ray.reports.compare_page import COMPARE_VERSION, CompareReport
from fmnist_ray.reports.heads_page import HeadsReport
from fmnist_ray.store import Store, open_store

Run = CompareRun | HeadsRun
"""One run. Runs know nothing of each other, so they can be done anywhere."""
Execute = Callable[[Sequence[Run]], Iterator[tuple[Run, dict[str, Any]]]]
"""Does runs somewhere, and gives the result of each as it ends."""

_MEANS = ("test_accuracy", "calibration_error", "fit_s", "images_per_s")
_SAME = ("num_parameters", "multiply_adds", "epochs", "num_train", "network_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSummary:
    """A comparison with its page."""

    report: CompareReport | HeadsReport
    report_uri: str
    num_done_before: int
    """Runs that an earlier start of the same command had done."""


def run_here(runs: Sequence[Run]) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Do the runs one after the other in this process."""
    for run in runs:
        yield run, run_once(run)


def compare(
    settings: CompareSettings,
    *,
    execute: Execute = run_here,
    told: Callable[[str], None] = lambda text: None,
) -> CompareSummary:
    """Do the runs whose results are not in `out_uri` yet, and write the table of all of them: `STUDY.html`, `.json` and
    `.md`, anew after every run. The same call goes on after any end; what was lost is the run that was at work.

    `told` is told of each run that ends.
    """
    out = open_store(settings.out_uri)
    runs: Sequence[Run] = planned_heads(settings) if settings.study == "heads" else planned_runs(settings)
    results = {run.key: found for run in runs if (found := _read(out, run.key)) is not None}
    num_before = len(results)
    report = _write(out, settings, runs, results)
    for run, result in execute([run for run in runs if run.key not in results]):
        out.put(run.key, json.dumps({**run.facts, **result}, indent=1).encode() + b"\n")
        results[run.key] = result
        took = "loaded" if result["fit_s"] is None else f"in {result['fit_s']:.0f} s"
        told(f"{run.title}: {result['test_accuracy']:.2%} {took} ({len(results)} of {len(runs)} runs)")
        report = _write(out, settings, runs, results)
    return CompareSummary(report=report, report_uri=f"{out.uri}/{settings.study}.html", num_done_before=num_before)


def _read(out: Store, key: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(out.get(key))
    except (NotFoundError, ValueError):
        return None
    return found


def _write(
    out: Store, settings: CompareSettings, runs: Sequence[Run], results: Mapping[str, dict[str, Any]]
) -> CompareReport | HeadsReport:
    facts = {
        "compare_version": COMPARE_VERSION,
        "study": settings.study,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "program_version": __version__,
        "epochs": settings.epochs,
        "subset": settings.subset,
        "num_runs": len(runs),
        "num_done": len(results),
    }
    report: CompareReport | HeadsReport
    if settings.study == "heads":
        of_heads = [run for run in runs if isinstance(run, HeadsRun)]
        report = HeadsReport({**facts, **heads_content(of_heads, results)})
    else:
        of_rows = [run for run in runs if isinstance(run, CompareRun)]
        report = CompareReport({**facts, **_content(of_rows, results)})
    for name, data in report.files().items():
        out.put(name, data)
    return report


def _content(runs: Sequence[CompareRun], results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    rows = {run.row.name: run.row for run in runs}
    found = {name: [results[run.key] for run in runs if run.row.name == name and run.key in results] for name in rows}
    return {
        "rows": [{**row_facts(rows[name]), **_summary(found[name])} for name in rows if found[name]],
        "missing": [name for name in rows if not found[name]],
    }


def _summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and how far they lie apart."""
    accuracies = [result["test_accuracy"] for result in results]
    means = {
        name: statistics.fmean(values) if (values := [r[name] for r in results if r.get(name) is not None]) else None
        for name in _MEANS
    }
    return {
        "num_seeds": len(results),
        **means,
        "test_accuracies": accuracies,
        "spread": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        **{name: results[0].get(name) for name in _SAME},
    }
