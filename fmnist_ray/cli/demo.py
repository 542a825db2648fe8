"""`demo`: the whole of it, in one command, on this machine."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.classify import run_classify
from fmnist_ray.cli.console import Output, failures

if TYPE_CHECKING:
    from fmnist_ray.flows.classify import RunSummary

EPILOG = "Example: fmnist-ray demo. A second time it finds its work done."


def demo(
    out: Annotated[str, typer.Option(help="Folder for the catalogue and the results.")] = "fmnist-ray-demo",
    bundle: options.Bundle = "default",
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Classify the 10,000 test images of Fashion-MNIST on a local Ray, and report. It gets them first."""
    output = Output(json_mode=json_mode)
    started = time.monotonic()
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ClassifySettings
        from fmnist_ray.flows.demo import prepare_demo

        output.note("Looking for Fashion-MNIST.")
        prepared = prepare_demo(out)
        if prepared.no_data is not None:
            output.note(f"warning: {prepared.no_data}\n")
            output.note("Without it, this demo takes the 1,000 test images that ship with the package.")
        elif prepared.num_built:
            output.note(f"Built a catalogue of {prepared.num_built:,} test images: {prepared.catalogue_uri}")
        settings = ClassifySettings(
            catalogue_uri=prepared.catalogue_uri, out_uri=prepared.results_uri, bundle=bundle, replace=True
        )
        summary = run_classify(settings, output, address=None)
        elapsed_s = time.monotonic() - started
        _show(summary, elapsed_s, output)
        facts = {"catalogue_uri": prepared.catalogue_uri, "no_data": prepared.no_data, "demo_s": round(elapsed_s, 3)}
        output.result({**dataclasses.asdict(summary), **facts})


def _show(summary: RunSummary, elapsed_s: float, output: Output) -> None:
    facts = {
        "rows": f"{summary.num_rows:,}",
        "accuracy": "no labels" if summary.accuracy is None else f"{summary.accuracy:.2%}",
        "rejects": f"{summary.num_rejects:,}",
        "seconds": f"{elapsed_s:.1f}",
    }
    output.facts("Classified and committed", facts)
    output.note(
        f"Report: {summary.report_uri}\n\n"
        "Next:\n"
        f"  fmnist-ray verify {summary.out_uri}\n"
        "  fmnist-ray catalogue build YOUR_PHOTOS --out my-catalogue\n"
        "  fmnist-ray classify my-catalogue --out my-results"
    )
