"""`calibrate`: give a bundle held-out rows and a calibration fitted on them."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import PurePath
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

EPILOG = (
    "Example: fmnist-ray calibrate --bundle default --out calibrated; then fmnist-ray classify catalogue --bundle "
    "calibrated --min-precision 0.99 --out results. Bundles that fmnist-ray train wrote are calibrated already; do it "
    "again with photos like those of tonight, labelled by people."
)


def calibrate(
    out: Annotated[str, typer.Option(help="Where the calibrated bundle goes.")],
    bundle: options.Bundle = "default",
    catalogue: options.UnseenCatalogue = None,
    image_column: options.UnseenImageColumn = "image",
    label_column: options.LabelColumn = None,
    replace: options.ReplaceBundle = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Give a bundle held-out rows, for confidences, thresholds, label sets and alarms."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.calibrate import CalibrateSettings
        from fmnist_ray.config.classify import ColumnNames
        from fmnist_ray.flows.calibrate import calibrate as calibrate_bundle

        settings = CalibrateSettings(
            bundle=bundle,
            out_uri=out,
            catalogue_uri=catalogue,
            columns=ColumnNames(image=image_column, label=label_column),
            replace=replace,
        )
        command = shlex.join([PurePath(sys.argv[0]).name, *sys.argv[1:]])
        outcome = calibrate_bundle(settings, command=command)
        facts = {
            "held-out rows": f"{outcome.num_heldout:,}",
            "decides": outcome.decides,
            **{
                name.replace("_", " "): f"{value:.4f}"
                for name, value in outcome.metrics.items()
                if isinstance(value, float)
            },
            "digest": outcome.bundle_digest[:12],
        }
        output.facts(f"Wrote {outcome.bundle_uri}", facts)
        output.result(dataclasses.asdict(outcome))
