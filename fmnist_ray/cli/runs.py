"""`status`, `report`, `verify`, `gc`: what became of a run."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

Out = Annotated[str, typer.Argument(help="The --out of a fmnist-ray classify.")]
PlanId = Annotated[str | None, typer.Option(help="An earlier run that was replaced. Default: the committed one.")]


def status(out: Out, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Say how far a run is, and whose results a reader gets now."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.status import run_status

        found = run_status(out)
        share = found.num_rows_done / found.num_rows if found.num_rows else 1.0
        facts = {
            "state": "committed" if found.committed else "incomplete: run the same classify again to resume",
            "rows done": f"{found.num_rows_done:,} of {found.num_rows:,} ({share:.0%})",
            "shards done": f"{found.num_shards_done:,} of {found.num_shards:,}",
            "predictions": f"{found.num_predictions:,}",
            "rejects": f"{found.num_rejects:,}",
            "readers get": found.committed_plan_id or "nothing yet",
        }
        output.facts(f"Run {found.plan_id} at {found.out_uri}", facts)
        output.result(dataclasses.asdict(found))


def verify(out: Out, plan_id: PlanId = None, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Read a committed run again: every byte as committed, every row exactly once."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.verify import verify_run

        found = verify_run(out, plan_id=plan_id)
        output.note(
            f"Run {found.plan_id} is whole: {found.num_rows:,} rows, each exactly once, in {found.num_files:,} files "
            f"({found.size_bytes / 1e6:,.1f} MB) that all match the commit."
        )
        output.result(dataclasses.asdict(found))


def report(out: Out, plan_id: PlanId = None, json_mode: options.Json = False, verbose: options.Verbose = False) -> None:
    """Write the report of a committed run anew; no image is read."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.report import rebuild_report

        uri = rebuild_report(out, plan_id=plan_id)
        output.note(f"Report: {uri}")
        output.result({"report_uri": uri})


def gc(
    out: Out,
    grace_hours: Annotated[float, typer.Option(help="Leave alone what is younger; longer than a run takes.")] = 48,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")] = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove what no commit names: leavings of killed attempts, of runs given up."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.gc import collect_garbage

        found = collect_garbage(out, grace_s=grace_hours * 3600, dry_run=dry_run)
        done = "Would remove" if dry_run else "Removed"
        size = f"{found.size_bytes / 1e6:,.1f} MB"
        output.note(f"{done} {found.num_objects:,} objects ({size}) of {found.out_uri}; {found.num_kept:,} stay.")
        output.result(dataclasses.asdict(found))
