"""`fit-svm`: an SVM on the network's features, written as a bundle that answers with both."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.cli.features import run_features

if TYPE_CHECKING:
    from fmnist_ray.config.svm import FitSettings
    from fmnist_ray.flows.fit_svm import FitOutcome
    from fmnist_ray.heads.search import FoldTask, LabelledFeatures

EPILOG = (
    "Example: fmnist-ray fit-svm --bundle default --vary c=1,10 --vary kind=rbf,nystroem --out bundles/two-heads. "
    "Without --features or --catalogue the features of Fashion-MNIST are taken, once: they stay in OUT-work, as do the "
    "results of a search, which goes on where it was."
)


def fit_svm(
    out: Annotated[str, typer.Option(help="Where the bundle with both heads goes.")],
    bundle: options.Bundle = "default",
    features: Annotated[str | None, typer.Option(help="The --out of a fmnist-ray features.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="A labelled catalogue to take the features of.")] = None,
    kind: Annotated[
        Literal["linear", "rbf", "nystroem"], typer.Option(help="Linear, exact RBF kernel, or its approximation.")
    ] = "nystroem",
    c: Annotated[
        float | None, typer.Option("--C", help="Weight of mistakes. Default: linear 0.01, rbf 10, nystroem 1.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Of the kernel. Default: one by the number of features.")] = None,
    components: Annotated[int, typer.Option(help="Rows that nystroem compares with.")] = 1_000,
    class_weights: Annotated[bool, typer.Option("--class-weights", help="Weigh rare classes more.")] = False,
    vary: Annotated[list[str] | None, typer.Option(help="NAME=A,B,C or, with --trials, NAME=LOW..HIGH.")] = None,
    trials: Annotated[int | None, typer.Option(help="Settings drawn at random. Default: the whole grid.")] = None,
    folds: Annotated[int, typer.Option(help="Of the cross-validation that judges what varies.")] = 5,
    search_rows: Annotated[int, typer.Option(help="Training rows that the search looks at.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of nystroem's sample, the order of rows, the folds.")] = 0,
    work: Annotated[str | None, typer.Option(help="Keeps features and search results. Default: OUT-work.")] = None,
    replace: options.ReplaceBundle = False,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Fit an SVM on the features of a bundle's network. The bundle that is written answers with both."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.svm import FitSettings, SvmSearch, SvmSettings
        from fmnist_ray.config.tune import parse_vary

        settings = FitSettings(
            bundle=bundle,
            out_uri=out,
            work_uri=work or f"{out.rstrip('/')}-work",
            features_uri=features,
            catalogue_uri=catalogue,
            svm=SvmSettings(kind=kind, c=c, gamma=gamma, components=components, class_weights=class_weights, seed=seed),
            search=SvmSearch(
                vary=dict(parse_vary(text) for text in vary or []),
                trials=trials,
                folds=folds,
                rows=search_rows,
                seed=seed,
            ),
            replace=replace,
        )
        outcome = _run(settings, output, address=address)
        _show(outcome, output)
        output.result(dataclasses.asdict(outcome))


def _run(settings: FitSettings, output: Output, *, address: str | None) -> FitOutcome:
    from fmnist_ray.flows.fit_svm import fit_svm as fit

    def search(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
        from fmnist_ray.distributed.search import search_folds
        from fmnist_ray.distributed.session import connect

        if tasks:
            with connect(address):
                yield from search_folds(rows, tasks)

    with output.progress("folds") as on_progress:
        return fit(
            settings,
            command=shlex.join([PurePath(sys.argv[0]).name, *sys.argv[1:]]),
            extract=lambda extraction: run_features(extraction, output, address=address),
            search=search,
            on_progress=on_progress,
        )


def _show(outcome: FitOutcome, output: Output) -> None:
    if outcome.searched:
        names = list(outcome.searched[0].varied)
        rows = [(f"{setting.accuracy:.2%}", *(setting.varied[name] for name in names)) for setting in outcome.searched]
        output.table("Settings by cross-validation, best first", ("accuracy", *names), rows)
    rows = [
        (
            head,
            *(f"{outcome.metrics[f'{head}_{part}_accuracy']:.2%}" for part in ("validation", "test")),
            f"{outcome.metrics[f'{head}_test_calibration_error']:.4f}",
        )
        for head in ("cnn", "svm", "both")
    ]
    output.table("Heads", ("head", "validation", "test", "calibration error (test)"), rows)
    output.facts(
        f"Fitted {outcome.kind}",
        {
            "training rows": f"{outcome.num_train:,}",
            **({"compares with": f"{outcome.num_centres:,} rows"} if outcome.num_centres else {}),
            "decides": outcome.decides,
            "fit seconds": f"{outcome.fit_s:.1f}",
            "seconds": f"{outcome.elapsed_s:.1f}",
            "look inside": outcome.look_uri,
            "bundle": outcome.bundle_uri,
            "digest": outcome.bundle_digest,
        },
    )
