"""`drift`: is tonight's run like those before?"""

from __future__ import annotations

from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

EPILOG = (
    "Example: fmnist-ray drift nights/22 --against nights/20 --against nights/21. Exit code 3 with --gate and an alarm."
)


def drift(
    out: Annotated[str, typer.Argument(help="The --out of tonight's fmnist-ray classify.")],
    against: Annotated[list[str], typer.Option(help="An earlier run, the oldest first, which is known to be good.")],
    report_out: Annotated[str | None, typer.Option(help="Where the report goes. Default: beside the run's.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Fail on an alarm.")] = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Set a night beside earlier ones: classes, confidence, rejects, photos, categories."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.errors import RefusedError
        from fmnist_ray.flows.drift import write_drift

        summary = write_drift(out, against, report_uri=report_out)
        content = summary.report.content
        output.note(content["verdict"])
        for sentence in summary.report.alarms:
            output.note(f"- {sentence}")
        output.note(f"Report: {summary.report_uri}")
        if gate and summary.report.alarms:
            raise RefusedError(
                f"{content['verdict']} ({'; '.join(summary.report.alarms[:3])}); see {summary.report_uri}."
            )
        kinds = {kind["kind"]: kind["state"] for kind in content["kinds"]}
        facts = {"verdict": content["verdict"], "alarms": summary.report.alarms, "kinds": kinds}
        output.result({**facts, "report_uri": summary.report_uri})
