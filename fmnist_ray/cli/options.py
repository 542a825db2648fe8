"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="A Ray cluster. Default: RAY_ADDRESS, the local cluster, or one of our own."),
]
Bundle = Annotated[str, typer.Option("--bundle", help="A shipped bundle's name, or a bundle's path or URI.")]
Recipe = Annotated[str, typer.Option("--recipe", help="Named settings, or a .json file; what follows overrides.")]
Change = Annotated[list[str] | None, typer.Option("--set", help="Any setting, NAME=VALUE; again for more.")]
Images = Annotated[
    str, typer.Option("--images", help="Where named images may lie, by commas. Default: in the catalogue's place.")
]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes. Default: one per CPU, or per GPU.")]
MaxRejects = Annotated[str, typer.Option("--max-rejects", help="Share of rejected rows that is still committed.")]
AcceptRejects = Annotated[bool, typer.Option("--accept-rejects", help="Commit whatever the number of rejects.")]
