"""`explain`: where a bundle looks."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

EPILOG = (
    "Example: fmnist-ray explain default fashion-mnist-test --row 12 --row 4500 --out why. DATA may also be a finished "
    "run, whose rows are named by --id, or one image file."
)


def explain(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's path or URI.")],
    data: Annotated[str, typer.Argument(help="A catalogue, fashion-mnist-test, a finished run, or an image file.")],
    out: Annotated[str, typer.Option(help="Where the page and the PNGs go.")],
    row: Annotated[list[int] | None, typer.Option(help="A row, counted from 0; again for more. Default: 8.")] = None,
    product_id: Annotated[list[str] | None, typer.Option("--id", help="A product id; again for more.")] = None,
    queue: Annotated[int, typer.Option(help="So many rows of a run's review queue, and its page with heat maps.")] = 0,
    method: Annotated[
        list[str] | None, typer.Option(help="grad-cam, gradient or occlusion; again for more. Default: all.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="The --out of fmnist-ray features: also show its rows that are most alike.")
    ] = None,
    image_column: options.ImageColumn = "image",
    images: options.Images = "",
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show what in an image decided its label: heat maps, and the network's first layer."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames, parse_names
        from fmnist_ray.config.explain import METHODS, ExplainSettings, Method
        from fmnist_ray.flows.explain import explain as explain_images

        settings = ExplainSettings(
            bundle=bundle,
            data_uri=data,
            out_uri=out,
            columns=ColumnNames(image=image_column),
            image_prefixes=parse_names(images),
            rows=tuple(row or ()),
            ids=tuple(product_id or ()),
            queue=queue,
            features_uri=features,
            methods=cast(tuple[Method, ...], tuple(method or METHODS)),
        )
        summary = explain_images(settings)
        explained = summary.report.content["images"]
        rows = [
            (entry["name"], entry["label"], f"{entry['confidence']:.3f}", entry["true_label"]) for entry in explained
        ]
        output.table("Explained", ("image", "label", "confidence", "true label"), rows)
        output.note(f"Report: {summary.report_uri}")
        output.result({"report_uri": summary.report_uri, "files": summary.files, "images": explained})
