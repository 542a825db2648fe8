"""`classify`: the main job; `retry` of what may end otherwise now."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.cli.executor import on_ray

if TYPE_CHECKING:
    from fmnist_ray.config.classify import ClassifySettings
    from fmnist_ray.flows.classify import RunSummary

EPILOG = (
    "Example: fmnist-ray classify catalogue.parquet --out results --keep title. The same command again resumes a run "
    "that was ended in any way. Exit codes: 0 committed, 1 failed, 2 wrong input, 3 refused, 4 incomplete: run again."
)


def classify(
    catalogue: Annotated[str, typer.Argument(help="A Parquet file, or a folder with Parquet files below it.")],
    out: Annotated[str, typer.Option(help="Where predictions, rejects and the report go.")],
    bundle: options.Bundle = "default",
    id_column: options.IdColumn = None,
    image_column: options.ImageColumn = "image",
    images: options.Images = "",
    label_column: options.LabelColumn = None,
    keep: options.Keep = "",
    shard_rows: options.ShardRows = None,
    workers: options.Workers = None,
    runtime: options.Runtime = "auto",
    head: options.Head = "bundle",
    min_precision: options.MinPrecision = None,
    per_class: options.PerClass = False,
    risk: options.Risk = 0.05,
    coverage: options.Coverage = 0.95,
    alarm_rate: options.AlarmRate = 0.01,
    precision: options.Precision = "f32",
    since: options.Since = None,
    publish_delta: options.PublishDelta = None,
    max_rejects: options.MaxRejects = "2%",
    accept_rejects: options.AcceptRejects = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of another plan's run in --out.")] = False,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Classify every product photo of a catalogue, exactly once, and commit the whole."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ClassifySettings, ColumnNames, parse_names, parse_share
        from fmnist_ray.config.decisions import Promises

        columns = ColumnNames(id=id_column, image=image_column, label=label_column, keep=parse_names(keep))
        promises = Promises(
            min_precision=min_precision, per_class=per_class, risk=risk, coverage=coverage, alarm_rate=alarm_rate
        )
        settings = ClassifySettings(
            catalogue_uri=catalogue,
            out_uri=out,
            bundle=bundle,
            columns=columns,
            since_uri=since,
            image_prefixes=parse_names(images),
            head=None if head == "bundle" else head,
            promises=promises,
            precision=precision,
            runtime=None if runtime == "auto" else runtime,
            shard_rows=shard_rows,
            workers=workers,
            max_rejects=parse_share(max_rejects),
            accept_rejects=accept_rejects,
            replace=replace,
        )
        summary = run_classify(settings, output, address=address)
        show_summary(summary, output)
        output.result({**dataclasses.asdict(summary), "delta": _publish(out, publish_delta, output)})


def retry(
    out: Annotated[str, typer.Argument(help="The --out of a committed fmnist-ray classify.")],
    bundle: Annotated[str | None, typer.Option(help="Where the run's bundle is now. Default: where it was.")] = None,
    workers: options.Workers = None,
    max_rejects: options.MaxRejects = "2%",
    accept_rejects: options.AcceptRejects = False,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Do rejects again that may end otherwise now: missing images, dead workers."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import parse_share
        from fmnist_ray.flows.retry import RetrySettings
        from fmnist_ray.flows.retry import retry as retry_run

        settings = RetrySettings(
            out_uri=out, bundle=bundle, max_rejects=parse_share(max_rejects), accept_rejects=accept_rejects
        )
        with output.progress("rows") as on_progress:
            summary = retry_run(settings, on_ray(address, None, workers), on_progress=on_progress)
        if summary is None:
            output.note("Nothing to retry: no reject of this run can end otherwise.")
            return output.result({"retried": False})
        show_summary(summary, output)
        output.result({"retried": True, **dataclasses.asdict(summary)})


def _publish(out: str, table_uri: str | None, output: Output) -> dict[str, Any] | None:
    if table_uri is None:
        return None
    from fmnist_ray.catalogue.delta import publish_delta
    from fmnist_ray.catalogue.results import open_results

    published = publish_delta(open_results(out), table_uri)
    output.note(f"Version {published.version} of {published.table_uri} has them as run {published.run!r}.")
    return dataclasses.asdict(published)


def run_classify(settings: ClassifySettings, output: Output, *, address: str | None) -> RunSummary:
    """Run the flow on Ray with a progress bar; also used by `demo`."""
    from fmnist_ray.flows.classify import classify as classify_catalogue

    with output.progress("rows") as on_progress:
        executor = on_ray(address, settings.runtime, settings.workers)
        return classify_catalogue(settings, executor, on_progress=on_progress)


def show_summary(summary: RunSummary, output: Output) -> None:
    """The run in a few lines for people."""
    rejects = ", ".join(f"{reason} {count:,}" for reason, count in summary.rejects_by_reason.items())
    facts: dict[str, Any] = {
        "rows": f"{summary.num_rows:,}",
        "predictions": f"{summary.num_predictions:,}"
        + (f" ({summary.num_carried:,} carried over)" if summary.num_carried else ""),
        **({"same image": f"{summary.num_repeated:,} rows, each image once per shard"} if summary.num_repeated else {}),
        "rejects": f"{summary.num_rejects:,}" + (f" ({rejects})" if rejects else ""),
        "accuracy": "no labels" if summary.accuracy is None else f"{summary.accuracy:.2%}",
        **({"decisions": _decisions(summary)} if summary.decisions else {}),
        "seconds": f"{summary.elapsed_s:.1f}",
        "rows per second": "done before" if summary.rows_per_s is None else f"{summary.rows_per_s:,.0f}",
        "bundle": summary.bundle_digest[:12],
        "results": summary.out_uri,
        "report": summary.report_uri,
        **({"review": summary.review_uri} if summary.review_uri else {}),
    }
    if not summary.num_rows:
        output.note("warning: the catalogue has no rows; an empty run was committed.")
    output.facts(f"Committed run {summary.plan_id}", facts)


def _decisions(summary: RunSummary) -> str:
    shares = ((name, count, count / summary.num_predictions) for name, count in summary.decisions.items())
    return ", ".join(f"{name} {count:,} ({share:.1%})" for name, count, share in shares)
