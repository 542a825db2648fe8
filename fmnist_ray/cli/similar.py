"""`similar`: products that look alike."""

from __future__ import annotations

from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.errors import SettingError

EPILOG = (
    "Example: fmnist-ray features catalogue --out features; then fmnist-ray similar shoe.jpg --features features, or "
    "fmnist-ray similar 4500 --features features for row 4,500. With --duplicates, fmnist-ray similar --features "
    "features lists products that are nearly the same."
)


def similar(
    features: Annotated[str, typer.Option(help="The --out of a fmnist-ray features.")],
    query: Annotated[
        str | None, typer.Argument(help="An image file, or the number of a catalogue row, from 0.")
    ] = None,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Find nearly equal images instead.")] = False,
    out: Annotated[str, typer.Option(help="Where the page and its JSON go.")] = "similar",
    num_rows: Annotated[int, typer.Option("--rows", help="How many rows to find.")] = 10,
    similarity: Annotated[float, typer.Option(help="With --duplicates: least correlation of the pixels.")] = 0.98,
    bundle: Annotated[
        str | None, typer.Option(help="Where the bundle of the features is. Default: where it was.")
    ] = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Find the rows that look most like an image or a row, or all near duplicates."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        if duplicates == (query is not None):
            raise SettingError("Name an image or a row, or ask for --duplicates; one of the two.")
        if query is None:
            return _duplicates(output, features, out, similarity, bundle)
        from fmnist_ray.config.similar import SimilarSettings
        from fmnist_ray.flows.similar import similar as find_similar

        settings = SimilarSettings(query=query, features_uri=features, out_uri=out, num_rows=num_rows, bundle=bundle)
        with output.progress("rows") as on_progress:
            summary = find_similar(settings, on_progress=on_progress)
        content = summary.report.content
        rows = [
            (
                f"{hit['similarity']:.4f}",
                hit["product_id"] or "",
                hit["label"] or "",
                hit["input_file"],
                hit["input_row"],
            )
            for hit in content["hits"]
        ]
        output.table(f"Like {query}", ("cosine", "product", "label", "file", "row"), rows)
        output.note(f"{content['num_rows']:,} rows in {content['search_s']:.2f} s. Report: {summary.report_uri}")
        output.result({**content, "report_uri": summary.report_uri})


def _duplicates(output: Output, features: str, out: str, similarity: float, bundle: str | None) -> None:
    from fmnist_ray.config.similar import DuplicateSettings
    from fmnist_ray.flows.similar_duplicates import find_duplicates

    settings = DuplicateSettings(features_uri=features, out_uri=out, similarity=similarity, bundle=bundle)
    with output.progress("rows") as on_progress:
        summary = find_duplicates(settings, on_progress=on_progress)
    content = summary.report.content
    output.note(
        f"{content['num_pairs']:,} pairs among {content['num_involved']:,} of {content['num_rows']:,} rows: "
        f"{summary.pairs_uri}. Report: {summary.report_uri}"
    )
    output.result({**content, "report_uri": summary.report_uri, "pairs_uri": summary.pairs_uri})
