"""`train`: a network on Ray Train, written as a bundle."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmnist_ray.cli import options
from fmnist_ray.cli.classical import CLASSICAL_MODELS, run_classical
from fmnist_ray.cli.console import Output, failures
from fmnist_ray.cli.networks import show_networks
from fmnist_ray.errors import SettingError

if TYPE_CHECKING:
    from fmnist_ray.config.train import TrainSettings
    from fmnist_ray.distributed.train import TrainingPlace
    from fmnist_ray.flows.train import TrainOutcome
    from fmnist_ray.networks.checkpoint import TrainState
    from fmnist_ray.networks.job import Report, TrainingJob
    from fmnist_ray.networks.training import EpochMetrics

EPILOG = (
    "Example: fmnist-ray train --recipe bn-cnn --seed 0 --out bundles/mine. The same command again goes on from the "
    "last checkpoint of a training that was ended in any way."
)


def train(
    out: Annotated[str | None, typer.Option(help="Where the bundle goes.")] = None,
    recipe: options.Recipe = "plain",
    arch: Annotated[str | None, typer.Option(help="Architecture, or a classical model; see --list-archs.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step, over all workers together.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    change: options.Change = None,
    data: Annotated[str | None, typer.Option(help="A labelled catalogue. Default: Fashion-MNIST.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Of --data: the class. Default: label.")] = None,
    group_column: Annotated[str | None, typer.Option(help="Of --data: rows equal here are never split.")] = None,
    size: Annotated[int | None, typer.Option(help="Of --data: pixels per side to prepare to. Default: 28.")] = None,
    channels: Annotated[int | None, typer.Option(help="Of --data: 1 for grey (default), 3 for RGB.")] = None,
    ensemble: Annotated[int | None, typer.Option(help="Train this many networks and write their mean.")] = None,
    teacher: Annotated[str | None, typer.Option(help="A bundle to learn the answers of, besides the labels.")] = None,
    subset: Annotated[int | None, typer.Option(help="Of a classical model: training images to use.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, the weights, the order of images and their changes.")] = 0,
    workers: Annotated[int, typer.Option(help="Training processes, which share each batch.")] = 1,
    min_workers: Annotated[int | None, typer.Option(help="Go on with as few while there is no room for more.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU per worker.")] = False,
    checkpoints: Annotated[str | None, typer.Option(help="For these, and TensorBoard. Default: OUT-training.")] = None,
    track: Annotated[str, typer.Option(help="Where figures go: tensorboard, mlflow, wandb or none.")] = "tensorboard",
    replace: options.ReplaceBundle = False,
    list_archs: Annotated[bool, typer.Option("--list-archs", help="Show the architectures, train nothing.")] = False,
    describe: Annotated[str | None, typer.Option(help="Show this architecture's layers, train nothing.")] = None,
    address: options.Address = None,
    json_mode: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network with Ray Train, on Fashion-MNIST or a labelled catalogue. It is written as a bundle."""
    output = Output(json_mode=json_mode)
    with failures(output, verbose=verbose):
        if list_archs or describe:
            return show_networks(describe, output)
        if out is None:
            raise SettingError("Name the place of the bundle with --out.")
        if subset is not None and arch not in CLASSICAL_MODELS:
            raise SettingError("--subset is for classical models; a quick look at a network is --epochs 1.")
        named: dict[str, Any] = {"source.catalogue_uri": data, "source.size": size, "source.channels": channels}
        named |= {"source.label_column": label_column, "source.group_column": group_column, "seed": seed}
        if arch in CLASSICAL_MODELS:
            if teacher is not None:
                raise SettingError(f"--teacher is for networks, and {arch} is a classical model: leave it out.")
            settings = _settings("plain", [], named)
            return run_classical(arch, settings, output, out, params=change or [], subset=subset, replace=replace)
        from fmnist_ray.distributed.session import connect

        named |= {"architecture": arch, "epochs": epochs, "batch_size": batch_size}
        named |= {"learning_rate": learning_rate, "ensemble": ensemble, "teacher": teacher}
        place = _place(checkpoints or f"{out.rstrip('/')}-training", workers=workers, min_workers=min_workers, gpu=gpu)
        settings = _settings(recipe, change or [], named)
        with connect(address):
            outcome = _run(settings, place, output, out_uri=out, recipe=recipe, replace=replace, track=track)
        _show(outcome, output)
        output.result(dataclasses.asdict(outcome))


def _settings(recipe: str, change: list[str], named: dict[str, Any]) -> TrainSettings:
    """The recipe with what was changed; None leaves a setting as it is."""
    from fmnist_ray.flows.train import find_settings

    changes = [f"{name}={json.dumps(value)}" for name, value in named.items() if value is not None]
    return find_settings(recipe).override([*change, *changes])


def _place(storage_uri: str, *, workers: int, min_workers: int | None, gpu: bool) -> TrainingPlace:
    from fmnist_ray.distributed.train import TrainingPlace
    from fmnist_ray.store import open_store

    return TrainingPlace(storage_uri=open_store(storage_uri).uri, workers=workers, min_workers=min_workers, gpu=gpu)


def _run(
    settings: TrainSettings,
    place: TrainingPlace,
    output: Output,
    *,
    out_uri: str,
    recipe: str,
    replace: bool,
    track: str,
) -> TrainOutcome:
    from fmnist_ray.distributed.train import train_on_ray
    from fmnist_ray.flows.train import train as train_bundle
    from fmnist_ray.reports.tracking import open_tracker
    from fmnist_ray.store import open_store

    def execute(job: TrainingJob, report: Report) -> TrainState:
        name = f"{job.settings.architecture}-{job.settings.digest()}"
        store = open_store(place.storage_uri)
        with open_tracker(track, name=name, settings=job.settings.to_dict(), store=store) as follow:

            def both(metrics: EpochMetrics) -> None:
                report(metrics)
                follow(_figures(metrics), metrics.epoch)

            return train_on_ray(job, place, both)

    return train_bundle(
        settings,
        out_uri=out_uri,
        command=shlex.join([PurePath(sys.argv[0]).name, *sys.argv[1:]]),
        recipe=recipe,
        replace=replace,
        execute=execute,
        report=lambda metrics: output.note(epoch_line(metrics)),
    )


def _figures(metrics: EpochMetrics) -> dict[str, float]:
    """An epoch for trackers, which group by what stands before the slash."""
    return {
        "loss/training": metrics.loss,
        "loss/validation": metrics.validation_loss,
        "accuracy/validation": metrics.validation_accuracy,
        "speed/images_per_s": metrics.images_per_s,
    }


def epoch_line(metrics: EpochMetrics) -> str:
    """An epoch for people."""
    return (
        f"epoch {metrics.epoch}/{metrics.num_epochs}  loss {metrics.loss:.4f}  "
        f"validation {metrics.validation_accuracy:.2%}  {metrics.images_per_s:,.0f} images/s  "
        f"{metrics.left_s / 60:.1f} min left"
    )


def _show(outcome: TrainOutcome, output: Output) -> None:
    output.facts(
        f"Trained {outcome.architecture}",
        {
            "parameters": f"{outcome.num_parameters:,}",
            "epochs": outcome.epochs,
            "validation accuracy": f"{outcome.validation_accuracy:.2%}",
            "test accuracy": f"{outcome.test_accuracy:.2%}",
            "seconds": f"{outcome.elapsed_s:.0f}",
            "bundle": outcome.bundle_uri,
            "digest": outcome.bundle_digest,
        },
    )
