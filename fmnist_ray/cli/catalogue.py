"""`catalogue`: build one, see what a run would see in it, and what its photos are like."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

if TYPE_CHECKING:
    from fmnist_ray.catalogue.inspect import CatalogueFacts, SampleReject

_SHOWN_LABELS = 20
_SHOWN_REJECTS = 3
"""Most labels, and most rejects of each reason, that are listed for people; the JSON has all."""

catalogue_app = typer.Typer(no_args_is_help=True, help="Build a catalogue, and look at one before a run.")


@catalogue_app.command(
    epilog="Examples: fmnist-ray catalogue build fashion-mnist-test --out catalogue · "
    "fmnist-ray catalogue build photos/ --out catalogue"
)
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="A file of idx images, a Kaggle CSV, a folder of image files, fashion-mnist-train or "
            "fashion-mnist-test."
        ),
    ],
    out: Annotated[str, typer.Option(help="Folder of the catalogue.")],
    format_: Annotated[
        Literal["auto", "idx", "kaggle-csv", "folder"], typer.Option("--format", help="What the source is.")
    ] = "auto",
    labels: Annotated[
        str | None, typer.Option(help="Labels of idx images. Default: the file beside them, by its name.")
    ] = None,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="Of a folder: write where the images are, instead of their bytes.")
    ] = False,
    rows_per_file: Annotated[int, typer.Option(help="Most rows of one Parquet file.")] = 10_000,
    replace: Annotated[bool, typer.Option("--replace", help="Remove a catalogue that is in --out.")] = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write images of another form as a catalogue. In Parquet: product_id, image and, where known, label."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.catalogue import BuildSettings
        from fmnist_ray.flows.build import build_catalogue

        settings = BuildSettings(
            source_uri=source,
            out_uri=out,
            format=None if format_ == "auto" else format_,
            labels_uri=labels,
            by_name=by_name,
            rows_per_file=rows_per_file,
            replace=replace,
        )
        built = build_catalogue(settings)
        labelled = "with labels" if built.labelled else "without labels"
        output.note(
            f"{built.catalogue_uri}: {built.num_rows:,} rows {labelled} in {built.num_files:,} files, "
            f"{built.size_bytes / 1e6:,.1f} MB, in {built.elapsed_s:.1f} s."
        )
        if built.num_others:
            output.note(f"{built.num_others:,} files of the folder were left out: by their names they are no images.")
        if by_name:
            output.note(f"Runs read images below --images {source} only.")
        output.result(dataclasses.asdict(built))


@catalogue_app.command(epilog="Example: fmnist-ray catalogue check catalogue. Exit code 2 where a run would refuse.")
def check(
    catalogue: Annotated[str, typer.Argument(help="A Parquet file, or a folder with Parquet files below it.")],
    id_column: Annotated[str | None, typer.Option(help="Product id. Default: product_id, if there.")] = None,
    image_column: Annotated[str, typer.Option(help="Encoded image bytes, or places of images.")] = "image",
    images: options.Images = "",
    label_column: options.LabelColumn = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what a run would see: columns, rows, files, ids, labels, a sample of the images."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames
        from fmnist_ray.flows.check import check_catalogue

        columns = ColumnNames(id=id_column, image=image_column, label=label_column)
        facts = check_catalogue(catalogue, columns, [prefix for prefix in images.split(",") if prefix])
        _show(facts, output)
        output.result(dataclasses.asdict(facts))


@catalogue_app.command(epilog="Example: fmnist-ray catalogue doctor catalogue, then open catalogue-doctor/photos.html.")
def doctor(
    catalogue: Annotated[str, typer.Argument(help="A Parquet file, or a folder with Parquet files below it.")],
    out: Annotated[str, typer.Option(help="Where the page and its numbers go.")] = "catalogue-doctor",
    bundle: options.Bundle = "default",
    rows: Annotated[int, typer.Option(help="Rows to look at, from all over the catalogue.")] = 500,
    image_column: options.ImageColumn = "image",
    id_column: options.IdColumn = None,
    images: options.Images = "",
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what the photos are like, and what the network will see of them. A page shows them before and after."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames, parse_names
        from fmnist_ray.config.photos import PhotoDoctorSettings
        from fmnist_ray.flows.photo_doctor import examine_photos

        settings = PhotoDoctorSettings(
            catalogue_uri=catalogue,
            out_uri=out,
            bundle=bundle,
            columns=ColumnNames(id=id_column, image=image_column),
            image_prefixes=parse_names(images),
            sample_rows=rows,
        )
        diagnosis = examine_photos(settings)
        report = diagnosis.report
        output.note(f"{report.num_sampled:,} of {report.num_rows:,} rows of {catalogue}, prepared for {bundle}:")
        for finding in report.findings:
            output.note(f"{finding.verdict:<7}  {finding.what}: {finding.found}")
        output.note(f"Report: {diagnosis.report_uri}")
        output.result({"report_uri": diagnosis.report_uri, **report.to_dict()})


def _show(facts: CatalogueFacts, output: Output) -> None:
    roles = {facts.id_column: "id", facts.image_column: "image", facts.label_column: "label"}
    output.facts(
        f"Catalogue {facts.catalogue_uri}",
        {
            "rows": f"{facts.num_rows:,}",
            "files": f"{facts.num_files:,}, {facts.size_bytes / 1e6:,.1f} MB",
            "row groups": f"{facts.num_row_groups:,}, the largest of {facts.max_row_group_rows:,} rows",
            "ids": f"{facts.num_null_ids:,} null, {facts.num_repeated_ids:,} repeated" if facts.id_column else "none",
            "sample": f"{facts.num_sampled - len(facts.sample_rejects):,} of {facts.num_sampled:,} images decode, "
            f"{facts.mean_image_bytes:,} bytes on average",
        },
    )
    columns = [(name, kind, roles.get(name, "")) for name, kind in facts.columns.items()]
    output.table("Columns", ("name", "type", "a run reads it as"), columns)
    if facts.rows_by_label:
        shown = list(facts.rows_by_label.items())[:_SHOWN_LABELS]
        output.table(f"{len(facts.rows_by_label)} labels", ("label", "rows"), [(n, f"{c:,}") for n, c in shown])
    if facts.sample_rejects:
        output.table(
            "Rejected of the sample", ("reason", "file", "row", "detail"), _first_rejects(facts.sample_rejects)
        )
    for warning in facts.warnings:
        output.note(f"warning: {warning}")


def _first_rejects(rejects: list[SampleReject]) -> list[tuple[str, str, int, str]]:
    shown: dict[str, list[tuple[str, str, int, str]]] = {}
    for reject in rejects:
        rows = shown.setdefault(reject.reason, [])
        if len(rows) < _SHOWN_REJECTS:
            rows.append((reject.reason, reject.input_file, reject.input_row, reject.detail))
    return [row for rows in shown.values() for row in rows]
