"""`store`: what a store honours of what a run relies on."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

store_app = typer.Typer(no_args_is_help=True, help="Look at a store before a run relies on it.")


@store_app.callback()
def store() -> None:
    """Look at a store before a run relies on it."""


@store_app.command(epilog="Example: fmnist-ray store doctor s3://bucket/x. Exit code 1 where a run can't rely on it.")
def doctor(
    uri: Annotated[str, typer.Argument(help="A place that may be written to: a folder, or s3://bucket/prefix.")],
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Try what a run relies on: reads, conditional writes, ranges, the clock. Sixteen threads race for writes."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.store_doctor import examine_store

        diagnosis = examine_store(uri)
        rows = [(finding.verdict, finding.probe, finding.found) for finding in diagnosis.findings]
        output.table(f"Store {diagnosis.uri}", ("verdict", "probe", "what was found"), rows)
        output.note("A run can rely on it." if diagnosis.usable else "A run can't rely on it.")
        output.result(dataclasses.asdict(diagnosis))
        if not diagnosis.usable:
            raise typer.Exit(1)
