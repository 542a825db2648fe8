"""`review`: bring people's decisions back."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

review_app = typer.Typer(no_args_is_help=True, help="Human decisions on a run's review queue.")


@review_app.command(
    "import",
    epilog="Example: fmnist-ray review import results decided.csv, with the columns input_file, input_row and "
    "reviewed_label; 'none' is a photo that shows none of the classes.",
)
def import_(
    out: Annotated[str, typer.Argument(help="The --out of a fmnist-ray classify with --min-precision.")],
    file: Annotated[str, typer.Argument(help="CSV, Parquet, or JSON such as Label Studio exports.")],
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Take back what people decided, and estimate the run's precision. Rows that were drawn at random tell it."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.review_import import import_review

        outcome = import_review(out, file)
        precision = "no accepted row of the random ones is reviewed yet"
        if outcome.precision is not None:
            precision = (
                f"{outcome.precision:.2%} ({outcome.precision_low:.2%} to {outcome.precision_high:.2%}, from "
                f"{outcome.num_audited:,} accepted rows drawn at random)"
            )
        facts = {
            "imported": f"{outcome.num_imported:,}",
            "reviewed": f"{outcome.num_reviewed:,}, of which {outcome.num_corrected:,} got another label",
            "precision": precision,
            "to train on": outcome.reviewed_uri,
            "to calibrate on": outcome.audited_uri,
            "report": outcome.report_uri,
        }
        output.facts(f"Review of run {outcome.plan_id}", facts)
        output.result(dataclasses.asdict(outcome))
