"""The `fmnist-ray` command: one typer application put together from the command families."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fmnist_ray.cli import (
    calibrate,
    classify,
    compare,
    demo,
    drift,
    evaluate,
    explain,
    features,
    fit_svm,
    nightly,
    runs,
    serve,
    similar,
    submit,
    train,
    tune,
)
from fmnist_ray.cli.bundle import app as bundle_app
from fmnist_ray.cli.catalogue import catalogue_app
from fmnist_ray.cli.cluster import cluster_app
from fmnist_ray.cli.data import data_app
from fmnist_ray.cli.review import review_app
from fmnist_ray.cli.store import store_app

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


@app.callback()
def root(
    endpoint_url: Annotated[
        str | None, typer.Option(help="A server that speaks S3, for s3:// places. Default: AWS_ENDPOINT_URL, else AWS.")
    ] = None,
) -> None:
    """Classify fashion product photos by the million: every row exactly once, every night complete or absent."""
    if endpoint_url is not None:
        os.environ["AWS_ENDPOINT_URL_S3"] = endpoint_url  # read by boto3 and by pyarrow, here and in Ray's workers


app.command(epilog=demo.EPILOG)(demo.demo)
app.command(epilog=classify.EPILOG)(classify.classify)
app.command(epilog=features.EPILOG)(features.features)
app.command(epilog=nightly.EPILOG)(nightly.nightly)
app.command()(runs.status)
app.command()(runs.report)
app.command()(runs.verify)
app.command()(classify.retry)
app.command()(runs.gc)
app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=tune.EPILOG)(tune.tune)
app.command("fit-svm", epilog=fit_svm.EPILOG)(fit_svm.fit_svm)
app.command(epilog=calibrate.EPILOG)(calibrate.calibrate)
app.add_typer(review_app, name="review")
app.command(epilog=serve.EPILOG)(serve.serve)
app.command(epilog=submit.EPILOG, context_settings=submit.CONTEXT)(submit.submit)
app.add_typer(cluster_app, name="cluster")
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=similar.EPILOG)(similar.similar)
app.command(epilog=drift.EPILOG)(drift.drift)
app.command(epilog=explain.EPILOG)(explain.explain)
app.add_typer(bundle_app, name="bundle")
app.add_typer(data_app, name="data")
app.add_typer(catalogue_app, name="catalogue")
app.add_typer(store_app, name="store")


def main() -> None:
    """Entry point of the console script."""
    app()
