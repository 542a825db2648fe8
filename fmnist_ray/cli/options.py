"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="A Ray cluster. Default: RAY_ADDRESS, the local cluster, or one of our own."),
]
Bundle = Annotated[str, typer.Option("--bundle", help="A shipped bundle's name, or a bundle's path or URI.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="True class. Default: label, if there.")]
UnseenCatalogue = Annotated[
    str | None,
    typer.Option(
        "--catalogue", help="Labelled photos that the bundle never saw. Default: validation images of its training."
    ),
]
UnseenImageColumn = Annotated[str, typer.Option("--image-column", help="Encoded image bytes, with --catalogue.")]
ReplaceBundle = Annotated[bool, typer.Option("--replace", help="Take the place of a bundle in --out.")]
Head = Annotated[
    Literal["bundle", "cnn", "svm", "both"], typer.Option("--head", help="Who decides. Default: as the bundle says.")
]
MinPrecision = Annotated[
    float | None,
    typer.Option("--min-precision", help="Accept rows so that this share of them is right; the others go to review."),
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Keep --min-precision in every predicted class.")]
Risk = Annotated[float, typer.Option("--risk", help="Probability that --min-precision is not kept.")]
Coverage = Annotated[float, typer.Option("--coverage", help="Share of each class's rows whose label set holds it.")]
AlarmRate = Annotated[float, typer.Option("--alarm-rate", help="Share of good rows flagged as novel, and as unusable.")]
Recipe = Annotated[str, typer.Option("--recipe", help="Named settings, or a .json file; what follows overrides.")]
Change = Annotated[list[str] | None, typer.Option("--set", help="Any setting, NAME=VALUE; again for more.")]
Since = Annotated[
    str | None, typer.Option("--since", help="An earlier --out; images that it has classified are not done again.")
]
PublishDelta = Annotated[
    str | None,
    typer.Option(
        "--publish-delta", help="Then register the predictions in the Delta table at this place (extra: delta)."
    ),
]
Images = Annotated[
    str,
    typer.Option("--images", help="Where named images may lie: path, s3:// or https://. Default: by the catalogue."),
]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes. Default: one per CPU, or per GPU.")]
MaxRejects = Annotated[str, typer.Option("--max-rejects", help="Share of rejected rows that is still committed.")]
AcceptRejects = Annotated[bool, typer.Option("--accept-rejects", help="Commit whatever the number of rejects.")]
IdColumn = Annotated[str | None, typer.Option("--id-column", help="Product id. Default: product_id, if there.")]
ImageColumn = Annotated[str, typer.Option("--image-column", help="Encoded image bytes, or places of images.")]
Keep = Annotated[str, typer.Option("--keep", help="Other columns to copy through, separated by commas.")]
ShardRows = Annotated[int | None, typer.Option("--shard-rows", help="Rows per shard, the unit of restart.")]
Runtime = Annotated[Literal["auto", "cpu", "gpu"], typer.Option("--runtime", help="What computes.")]
Precision = Annotated[Literal["f32", "bf16"], typer.Option("--precision", help="Arithmetic of the network.")]
