"""`evaluate`: how good a bundle is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

EPILOG = (
    "Example: fmnist-ray evaluate default fashion-mnist-test --out evaluation --corruptions. With --against BUNDLE it "
    "says which of two bundles is better, and which rows flip."
)


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a bundle's path or URI.")],
    data: Annotated[str, typer.Argument(help="A labelled catalogue, or fashion-mnist-test.")],
    out: Annotated[str, typer.Option(help="Where the page, the JSON, the summary and the charts go.")],
    against: Annotated[str | None, typer.Option(help="A second bundle, to compare with.")] = None,
    corruptions: Annotated[bool, typer.Option("--corruptions", help="Measure on corrupted images as well.")] = False,
    image_column: options.ImageColumn = "image",
    images: options.Images = "",
    label_column: options.LabelColumn = None,
    slice_by: Annotated[list[str] | None, typer.Option(help="A column to slice by; again for more.")] = None,
    training: Annotated[
        str | None, typer.Option(help="The training data, to slice by near duplicates of it: fashion-mnist-train.")
    ] = None,
    track: Annotated[str, typer.Option(help="Who else gets the figures: tensorboard, mlflow, wandb.")] = "none",
    seed: Annotated[int, typer.Option(help="Of the corruptions.")] = 0,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a bundle on labelled images, and write a page with every figure."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.classify import ColumnNames, parse_names
        from fmnist_ray.config.evaluate import EvaluateSettings
        from fmnist_ray.flows.evaluate import evaluate_bundle

        settings = EvaluateSettings(
            bundle=bundle,
            data_uri=data,
            out_uri=out,
            columns=ColumnNames(image=image_column, label=label_column, keep=tuple(slice_by or ())),
            image_prefixes=parse_names(images),
            against=against,
            training=training,
            track=track,
            corruptions=corruptions,
            seed=seed,
        )
        with output.progress("rows") as on_progress:
            summary = evaluate_bundle(settings, on_progress=on_progress)
        content = summary.report.content
        _show(content, summary.report_uri, output)
        output.result({"report_uri": summary.report_uri, "files": summary.files, **_figures(content)})


def _figures(content: dict[str, Any]) -> dict[str, Any]:
    """The headline of an evaluation; everything else is in its evaluation.json."""
    evaluation, comparison, corruptions = content["evaluation"], content["comparison"], content["corruptions"]
    names = ("num_labelled", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "expected_calibration_error")
    return {
        **{name: evaluation[name] for name in names},
        "log_loss": content["log_loss"],
        "corrupted_accuracy": corruptions and corruptions["mean"],
        "comparison": comparison
        and {name: comparison[name] for name in ("difference", "p_value", "num_flipped", "verdict")},
    }


def _show(content: dict[str, Any], report_uri: str, output: Output) -> None:
    evaluation, comparison = content["evaluation"], content["comparison"]
    facts = {
        "accuracy": f"{evaluation['accuracy']:.2%} ({evaluation['accuracy_low']:.2%} to "
        f"{evaluation['accuracy_high']:.2%}) of {evaluation['num_labelled']:,} rows",
        "macro F1": f"{evaluation['macro_f1']:.4f}",
        "log loss": f"{content['log_loss']:.4f}",
        "calibration error": f"{evaluation['expected_calibration_error']:.2%}",
    }
    if content["corruptions"]:
        facts["corrupted"] = f"{content['corruptions']['mean']:.2%} on average"
    if comparison:
        facts["difference"] = (
            f"{100 * comparison['difference']:+.2f} points, McNemar p {comparison['p_value']:.2g}, "
            f"{comparison['num_flipped']:,} rows flip: {comparison['verdict'].lower()}"
        )
    facts["seconds"] = f"{content['facts']['elapsed_s']:.1f}"
    facts["report"] = report_uri
    output.facts(f"{content['facts']['bundle_uri']} on {content['facts']['data_uri']}", facts)
