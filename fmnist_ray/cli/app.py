"""The `fmnist-ray` command: one typer application put together from the command families."""

from __future__ import annotations

import typer

from fmnist_ray.cli import classify, demo, runs, serve, train, tune
from fmnist_ray.cli.catalogue import catalogue_app
from fmnist_ray.cli.data import data_app

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Classify fashion product photos by the million: every row exactly once, every night complete or absent."""


app.command(epilog=demo.EPILOG)(demo.demo)
app.command(epilog=classify.EPILOG)(classify.classify)
app.command()(runs.status)
app.command()(runs.report)
app.command()(runs.verify)
app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=tune.EPILOG)(tune.tune)
app.command(epilog=serve.EPILOG)(serve.serve)
app.add_typer(data_app, name="data")
app.add_typer(catalogue_app, name="catalogue")


def main() -> None:
    """Entry point of the console script."""
    app()
