"""`data`: the data set, and what is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

data_app = typer.Typer(no_args_is_help=True, help="Get Fashion-MNIST, and look into data.")


@data_app.callback()
def group() -> None:
    """Get Fashion-MNIST, and look into data."""


@data_app.command(
    epilog="Example: fmnist-ray data fetch. Tried in order: the cache, Debian's dataset-fashion-mnist where it is "
    "installed, the official mirrors, and apt-get download, which needs no root."
)
def fetch(
    from_folder: Annotated[
        Path | None,
        typer.Option("--from", exists=True, file_okay=False, help="Take the four files from this folder instead."),
    ] = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Get the files of Fashion-MNIST (31 MB), checked by md5, into the cache."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.fetch import fetch_fashion_mnist

        output.note("Looking for Fashion-MNIST.")
        fetched = fetch_fashion_mnist(from_folder)
        output.note(f"Fashion-MNIST is in {fetched.folder} (from {fetched.source}); all md5s match.")
        output.result({"folder": str(fetched.folder), "source": fetched.source})


@data_app.command(
    epilog="Example: fmnist-ray data describe fashion-mnist-test --against fashion-mnist-train --out described"
)
def describe(
    data: Annotated[str, typer.Argument(help="A catalogue, or fashion-mnist-train or fashion-mnist-test.")],
    out: Annotated[str, typer.Option(help="Where the page goes.")],
    against: Annotated[str | None, typer.Option(help="Another data set, to find near duplicates across.")] = None,
    bundle: options.Bundle = "default",
    image_column: options.ImageColumn = "image",
    images: options.Images = "",
    label_column: options.LabelColumn = None,
    max_rows: Annotated[int, typer.Option(help="Rows to look at, at most; every pair is compared.")] = 70_000,
    similarity: Annotated[float, typer.Option(help="Correlation of pixels from which on images are alike.")] = 0.98,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Describe a data set: classes, pixels, near duplicates, labels that look wrong. Features are shown as a map."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames, parse_names
        from fmnist_ray.config.describe import DescribeSettings
        from fmnist_ray.flows.describe import describe as describe_data

        settings = DescribeSettings(
            data_uri=data,
            out_uri=out,
            against=against,
            bundle=bundle,
            columns=ColumnNames(image=image_column, label=label_column),
            image_prefixes=parse_names(images),
            max_rows=max_rows,
            similarity=similarity,
        )
        with output.progress("rows") as on_progress:
            summary = describe_data(settings, on_progress=on_progress)
        content = summary.report.content
        rows = [(entry["label"], f"{entry['num_rows']:,}", f"{entry['share']:.1%}") for entry in content["classes"]]
        output.table(f"{content['facts']['num_rows']:,} rows", ("class", "rows", "share"), rows)
        found = {"near duplicates": f"{content['within']['num_rows']:,} rows"}
        if content["across"]:
            found[f"near duplicates in {against}"] = f"{content['across']['num_rows']:,} rows"
        if content["num_suspects"] is not None:
            found["labels that look wrong"] = f"{content['num_suspects']:,}"
        output.facts("Found", {**found, "report": summary.report_uri})
        output.result(
            {
                "report_uri": summary.report_uri,
                "rows_by_label": {entry["label"]: entry["num_rows"] for entry in content["classes"]},
                "num_near_duplicates": content["within"]["num_rows"],
                "num_near_duplicates_across": content["across"] and content["across"]["num_rows"],
                "num_suspect_labels": content["num_suspects"],
            }
        )
