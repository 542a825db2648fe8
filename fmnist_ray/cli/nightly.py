"""`nightly`: the night of a date, for a scheduler."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.classify import show_summary
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.cli.executor import on_ray

if TYPE_CHECKING:
    from fmnist_ray.config.nightly import NightlySettings
    from fmnist_ray.flows.nightly import NightSummary

EPILOG = (
    "Example: fmnist-ray nightly 'catalogues/{date}' --root nights. Start it as often and as late as you like: the "
    "same night resumes, or finds its work done. Exit codes: 0 published, 1 failed, 2 wrong input, 3 refused (too many "
    "rejects, another plan's night, or an alarm under --gate), 4 incomplete: start it again."
)


_Reference = Annotated[
    str | None, typer.Option(help="A run known to be good, to judge nights by. Default: the first night.")
]
_Webhook = Annotated[
    str | None,
    typer.Option(envvar="FMNIST_RAY_WEBHOOK", help="Is told how the night went. May be secret: use the variable."),
]


def nightly(
    catalogue: Annotated[str, typer.Argument(help="The night's catalogue; {date} in it stands for the date.")],
    root: Annotated[str, typer.Option(help="Where nights go: ROOT/DATE, and ROOT/_NEWEST.json.")],
    date: Annotated[str | None, typer.Option(help="today (UTC), yesterday, or as 2026-11-20.")] = None,
    bundle: options.Bundle = "default",
    id_column: options.IdColumn = None,
    image_column: options.ImageColumn = "image",
    images: options.Images = "",
    label_column: options.LabelColumn = None,
    keep: options.Keep = "",
    full: Annotated[bool, typer.Option("--full", help="Also what the night before has classified.")] = False,
    max_rejects: options.MaxRejects = "2%",
    accept_rejects: options.AcceptRejects = False,
    head: options.Head = "bundle",
    min_precision: options.MinPrecision = None,
    per_class: options.PerClass = False,
    risk: options.Risk = 0.05,
    coverage: options.Coverage = 0.95,
    alarm_rate: options.AlarmRate = 0.01,
    reference: _Reference = None,
    gate: Annotated[bool, typer.Option("--gate", help="Do not publish a night that raises the alarm.")] = False,
    workers: options.Workers = None,
    runtime: options.Runtime = "auto",
    precision: options.Precision = "f32",
    replace: Annotated[bool, typer.Option("--replace", help="The catalogue of the date has changed: redo it.")] = False,
    webhook: _Webhook = None,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Classify the catalogue of a date, compare it with earlier nights, and publish it. Each has its folder."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ClassifySettings, ColumnNames, parse_names, parse_share
        from fmnist_ray.config.decisions import Promises
        from fmnist_ray.config.nightly import NightlySettings, parse_date

        columns = ColumnNames(id=id_column, image=image_column, label=label_column, keep=parse_names(keep))
        promises = Promises(
            min_precision=min_precision, per_class=per_class, risk=risk, coverage=coverage, alarm_rate=alarm_rate
        )
        run = ClassifySettings(
            catalogue_uri=catalogue,
            out_uri=root,
            bundle=bundle,
            columns=columns,
            image_prefixes=parse_names(images),
            head=None if head == "bundle" else head,
            promises=promises,
            precision=precision,
            runtime=None if runtime == "auto" else runtime,
            workers=workers,
            max_rejects=parse_share(max_rejects),
            accept_rejects=accept_rejects,
            replace=replace,
        )
        night = parse_date(date, today=datetime.now(UTC).date())
        settings = NightlySettings(root_uri=root, date=night, run=run, reference_uri=reference, gate=gate, full=full)
        _publish(settings, webhook, output, address=address)


def _publish(settings: NightlySettings, webhook: str | None, output: Output, *, address: str | None) -> None:
    from fmnist_ray.errors import FmnistRayError
    from fmnist_ray.reports.webhook import check_webhook

    if webhook:
        check_webhook(webhook)
    night = f"Night {settings.date} of {settings.root_uri}"
    try:
        summary = _run(settings, output, address=address)
    except FmnistRayError as error:
        facts = {"date": str(settings.date), "exit_code": error.exit_code, "error": str(error)}
        _tell(webhook, f"{night} failed: {error}", facts, output)
        raise
    show_summary(summary.run, output)
    published = {"night": summary.date, "readers get": summary.newest_date, "root": settings.root_uri}
    output.facts("Published", {**published, **({"drift": summary.drift_uri} if summary.drift_uri else {})})
    output.note(f"{summary.verdict}.")
    for sentence in summary.alarms:
        output.note(f"- {sentence}")
    facts = {"exit_code": 0, **dataclasses.asdict(summary)}
    counts = f"{summary.run.num_predictions:,} predictions, {summary.run.num_rejects:,} rejects"
    found = "; ".join([summary.verdict, *summary.alarms])
    _tell(webhook, f"{night} is published: {counts}. {found}.", facts, output)
    output.result(facts)


def _run(settings: NightlySettings, output: Output, *, address: str | None) -> NightSummary:
    from fmnist_ray.flows.nightly import nightly as run_night

    executor = on_ray(address, settings.run.runtime, settings.run.workers)
    with output.progress("rows") as on_progress:
        return run_night(settings, executor, on_progress=on_progress)


def _tell(webhook: str | None, text: str, facts: dict[str, Any], output: Output) -> None:
    """Post to the webhook, if there is one. A night is not less done because nobody could be told."""
    from fmnist_ray.errors import SourceError
    from fmnist_ray.reports.webhook import post_webhook

    if webhook:
        try:
            post_webhook(webhook, text, facts)
        except SourceError as error:
            output.note(f"warning: {error}")
