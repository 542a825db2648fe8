"""`compare`: every model under its own recipe, in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

if TYPE_CHECKING:
    from fmnist_ray.flows.compare import Execute, Run

EPILOG = (
    "Example: fmnist-ray compare --out leaderboard --only ann --only lr --epochs 1 --subset 2000 for a quick look; "
    "without them all of it, in hours. The same command again goes on where it was."
)


def compare(
    out: Annotated[str, typer.Option(help="Where each run's result and the table go.")],
    study: Annotated[str, typer.Option(help="leaderboard, optimisers, batches or heads.")] = "leaderboard",
    only: Annotated[
        list[str] | None, typer.Option(help="A row of the study, of heads a network; again for more. Default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each row.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Instead of those of the recipes.")] = None,
    subset: Annotated[int | None, typer.Option(help="Training images to use. Default: all.")] = None,
    cpus: Annotated[
        int | None, typer.Option(help="Do the runs side by side as Ray tasks of so many CPUs. Default: one by one.")
    ] = None,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare what published networks and classical models reach and cost. Each is trained with several seeds."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.compare import CompareSettings
        from fmnist_ray.flows.compare import compare as compare_models
        from fmnist_ray.flows.compare import run_here

        settings = CompareSettings(
            out_uri=out, study=study, only=tuple(only or ()), seeds=seeds, epochs=epochs, subset=subset
        )
        execute = run_here if cpus is None else _on_ray(address, cpus)
        summary = compare_models(settings, execute=execute, told=output.note)
        output.table(f"Study {study}", summary.report.columns, summary.report.table())
        output.note(f"Report: {summary.report_uri}")
        done = {"report_uri": summary.report_uri, "num_done_before": summary.num_done_before}
        output.result({**summary.report.content, **done})


def _on_ray(address: str | None, cpus: int) -> Execute:
    def execute(runs: Sequence[Run]) -> Iterator[tuple[Run, dict[str, Any]]]:
        from fmnist_ray.distributed.compare import runs_on_ray
        from fmnist_ray.distributed.session import connect

        if not runs:
            return
        with connect(address):
            yield from runs_on_ray(runs, cpus=cpus)

    return execute
