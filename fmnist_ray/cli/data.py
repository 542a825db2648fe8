"""`data`: the data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

data_app = typer.Typer(no_args_is_help=True, help="Get Fashion-MNIST.")


@data_app.callback()
def group() -> None:
    """Get Fashion-MNIST."""


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
    """Get the four files of Fashion-MNIST (31 MB), checked by md5, and keep them in the cache."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.flows.fetch import fetch_fashion_mnist

        output.note("Looking for Fashion-MNIST.")
        fetched = fetch_fashion_mnist(from_folder)
        output.note(f"Fashion-MNIST is in {fetched.folder} (from {fetched.source}); all md5s match.")
        output.result({"folder": str(fetched.folder), "source": fetched.source})
