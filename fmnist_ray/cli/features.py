"""`features`: what the network sees in every photo, as a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.cli.executor import on_ray

if TYPE_CHECKING:
    from fmnist_ray.config.classify import ClassifySettings
    from fmnist_ray.flows.features import FeaturesOutcome

EPILOG = (
    "Example: fmnist-ray features catalogue --out features; then fmnist-ray fit-svm --features features --out bundle. "
    "It resumes, refuses and exits as classify does."
)


def features(
    catalogue: Annotated[str, typer.Argument(help="A Parquet file, or a folder with Parquet files below it.")],
    out: Annotated[str, typer.Option(help="Where the table goes.")],
    bundle: options.Bundle = "default",
    layer: Annotated[
        str | None, typer.Option(help="A tensor of the bundle's graph. Default: the layer before the logits.")
    ] = None,
    id_column: options.IdColumn = None,
    image_column: Annotated[str, typer.Option(help="Encoded image bytes.")] = "image",
    label_column: options.LabelColumn = None,
    keep: options.Keep = "",
    shard_rows: options.ShardRows = None,
    workers: options.Workers = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of another plan's run in --out.")] = False,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the network's features of every product photo, exactly once, for fit-svm."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ClassifySettings, ColumnNames, parse_names

        settings = ClassifySettings(
            catalogue_uri=catalogue,
            out_uri=out,
            bundle=bundle,
            columns=ColumnNames(
                id=id_column,
                image=image_column,
                label=label_column,
                keep=parse_names(keep),
            ),
            table="features",
            layer=layer,
            runtime="cpu" if layer else None,
            shard_rows=shard_rows,
            workers=workers,
            replace=replace,
        )
        outcome = run_features(settings, output, address=address)
        _show(outcome, output)
        output.result({**dataclasses.asdict(outcome.summary), "files": outcome.files})


def run_features(settings: ClassifySettings, output: Output, *, address: str | None) -> FeaturesOutcome:
    """Run the flow on Ray with a progress bar; also used by `fit-svm`."""
    from fmnist_ray.flows.features import extract_features

    executor = on_ray(address, settings.runtime, settings.workers)
    with output.progress("rows") as on_progress:
        return extract_features(settings, executor, on_progress=on_progress)


def _show(outcome: FeaturesOutcome, output: Output) -> None:
    summary = outcome.summary
    output.facts(
        f"Committed features {summary.plan_id}",
        {
            "rows": f"{summary.num_rows:,}",
            "with features": f"{summary.num_predictions:,}",
            "rejects": f"{summary.num_rejects:,}",
            "seconds": f"{summary.elapsed_s:.1f}",
            "rows per second": "done before" if summary.rows_per_s is None else f"{summary.rows_per_s:,.0f}",
            "bundle": summary.bundle_digest[:12],
            "table": f"{summary.out_uri} ({len(outcome.files)} Parquet files)",
        },
    )
