"""The part of `bundle` that promotes through a gate."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures


def promote(
    name: Annotated[str, typer.Argument(help="The bundle that is to be used from now on.")],
    to: Annotated[str, typer.Argument(help="REGISTRY@ALIAS, as in shop/bundles@default.")],
    data: Annotated[str, typer.Option(help="Labelled rows, which neither bundle saw.")] = "fashion-mnist-test",
    image_column: Annotated[str, typer.Option(help="Encoded image bytes.")] = "image",
    label_column: options.LabelColumn = None,
    min_accuracy: Annotated[float, typer.Option(help="Accuracy that it must reach.")] = 0.0,
    max_accuracy_loss: Annotated[float, typer.Option(help="Accuracy that it may lose against the one before.")] = 0.002,
    max_calibration_error: Annotated[float, typer.Option(help="Distance of confidence and accuracy.")] = 0.02,
    min_precision: Annotated[float, typer.Option(help="Precision that accepted rows must keep; 0: none.")] = 0.99,
    max_accepted_loss: Annotated[float, typer.Option(help="Share of accepted rows that it may lose.")] = 0.05,
    max_flips: Annotated[float, typer.Option(help="Share of rows that may get another label.")] = 0.1,
    min_speed: Annotated[float, typer.Option(help="Rows/s, as a multiple of those of the one before.")] = 0.8,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Let an alias mean another bundle, if that one passes the gate. Who runs now keeps the bundle it has."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.bundles import GateLimits, PairSettings
        from fmnist_ray.config.classify import ColumnNames
        from fmnist_ray.errors import RefusedError
        from fmnist_ray.flows.promote import promote as promote_bundle

        limits = GateLimits(
            min_accuracy=min_accuracy,
            max_accuracy_loss=max_accuracy_loss,
            max_calibration_error=max_calibration_error,
            max_accepted_loss=max_accepted_loss,
            max_flips=max_flips,
            min_speed=min_speed,
        )
        columns = ColumnNames(image=image_column, label=label_column)
        settings = PairSettings(
            before=to, after=name, data_uri=data, columns=columns, min_precision=min_precision or None
        )
        with output.progress("rows") as on_progress:
            outcome = promote_bundle(name, to, settings, limits, on_progress=on_progress)
        rows = [("passed" if check.passed else "FAILED", check.name, check.says) for check in outcome.checks]
        output.table(f"Gate of {to}", ("", "check", "figure"), rows)
        if outcome.failed:
            said = "; ".join(f"{check.name}: {check.says.rstrip('.')}" for check in outcome.failed)
            raise RefusedError(f"{name} is not promoted to {to}. {said}.")
        means = f"{to} means bundle {outcome.digest[:12]}"
        output.note(f"{means} now." if outcome.promoted else f"{means} already; nothing was done.")
        output.result(dataclasses.asdict(outcome))
