"""The part of `bundle` that makes one smaller and faster."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import PurePath
from typing import Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.errors import SettingError


def compress(
    name: Annotated[str, typer.Argument(help="The bundle to compress.")],
    out: Annotated[str, typer.Option(help="Where the compressed bundle goes.")],
    prune: Annotated[
        float | None,
        typer.Option(help="Instead of 8 bits: share of the channels in residual blocks to take out; then train on."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="With --prune: passes over the bundle's own training images.")] = 16,
    catalogue: options.UnseenCatalogue = None,
    image_column: options.UnseenImageColumn = "image",
    label_column: options.LabelColumn = None,
    replace: options.ReplaceBundle = False,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Write a faster bundle: in 8 bits on CPUs (extra: compress), or pruned. It is calibrated anew."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames

        command = shlex.join([PurePath(sys.argv[0]).name, *sys.argv[1:]])
        columns = ColumnNames(image=image_column, label=label_column)
        if prune is None:
            from fmnist_ray.config.calibrate import CalibrateSettings
            from fmnist_ray.flows.compress import compress as compress_bundle

            settings = CalibrateSettings(
                bundle=name, out_uri=out, catalogue_uri=catalogue, columns=columns, replace=replace
            )
            outcome = compress_bundle(settings, command=command)
        else:
            if catalogue is not None or columns != ColumnNames():
                raise SettingError("A pruned network is trained on with its own images: leave out --catalogue.")
            from fmnist_ray.cli.train import epoch_line
            from fmnist_ray.config.prune import PruneSettings
            from fmnist_ray.flows.prune import prune as prune_bundle

            wanted = PruneSettings(bundle=name, out_uri=out, share=prune, epochs=epochs, replace=replace)
            outcome = prune_bundle(wanted, command=command, report=lambda epoch: output.note(epoch_line(epoch)))
        sides = (outcome.before, outcome.after)
        rows = [
            ("graph bytes", *(f"{side.graph_bytes:,}" for side in sides)),
            ("bundle bytes", *(f"{side.bundle_bytes:,}" for side in sides)),
            ("rows/s per core", *(f"{side.rows_per_s:,.0f}" for side in sides)),
            (f"accuracy ({outcome.judged_on})", *(f"{side.accuracy:.2%}" for side in sides)),
            ("calibration error", *(f"{side.calibration_error:.2%}" for side in sides)),
        ]
        output.table(f"Wrote {outcome.bundle_uri}", ("", "before", "after"), rows)
        output.note(f"Digest {outcome.bundle_digest[:12]}. Next: fmnist-ray bundle promote {out} REGISTRY@ALIAS")
        output.result(dataclasses.asdict(outcome))
