"""`tune`: a search for better training settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.console import Output, failures

if TYPE_CHECKING:
    from fmnist_ray.flows.tune import TuneOutcome

EPILOG = (
    "Example: fmnist-ray tune --recipe bn-cnn --vary learning_rate=1e-3..1e-2 --vary batch_size=64,128,256 "
    "--vary architecture_args.dropout=0.2..0.6 --trials 12 --out search. Then: fmnist-ray train --recipe "
    "search/best.json --out bundle. The same command again goes on with an interrupted search."
)


def tune(
    out: Annotated[str, typer.Option(help="Where best.json, trials.json and trials.svg go.")],
    vary: Annotated[list[str], typer.Option(help="NAME=LOW..HIGH or NAME=A,B,C; again for more.")],
    recipe: options.Recipe = "plain",
    change: options.Change = None,
    trials: Annotated[int, typer.Option(help="How many settings are drawn.")] = 20,
    first_stop: Annotated[int, typer.Option(help="Epochs before the worse trials are first stopped.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    cpus_per_trial: Annotated[int, typer.Option(help="CPUs of each trial; as many trials run as fit.")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU per trial.")] = False,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Search for better training settings with Ray Tune, judged on the validation split."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        from fmnist_ray.config.tune import TuneSettings, parse_vary
        from fmnist_ray.distributed.session import connect
        from fmnist_ray.distributed.tune import SearchPlace, search_on_ray
        from fmnist_ray.flows.train import find_settings
        from fmnist_ray.flows.tune import tune as run_search
        from fmnist_ray.store import open_store

        settings = TuneSettings(
            base=find_settings(recipe).override(change or []),
            vary=dict(parse_vary(text) for text in vary),
            trials=trials,
            first_stop=first_stop,
            seed=seed,
        )
        place = SearchPlace(
            storage_uri=open_store(f"{out.rstrip('/')}-trials").uri,
            first_stop=first_stop,
            cpus_per_trial=cpus_per_trial,
            gpu=gpu,
        )
        with connect(address):
            outcome = run_search(settings, out_uri=out, search=lambda jobs: search_on_ray(jobs, place))
        _show(outcome, output)
        output.result({**dataclasses.asdict(outcome), "best_accuracy": outcome.best.accuracy})


def _show(outcome: TuneOutcome, output: Output) -> None:
    names = list(outcome.best.varied)
    rows = [
        (
            trial.number,
            trial.failure or f"{trial.accuracy:.2%}",
            len(trial.accuracies),
            *(trial.varied[name] for name in names),
        )
        for trial in outcome.trials
    ]
    output.table("Trials, best first", ("trial", "validation", "epochs", *names), rows)
    output.note(f"Best settings: {outcome.recipe_uri}")
