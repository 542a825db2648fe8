"""The part of `train` that fits classical models in place of networks."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from fmnist_ray.cli.console import Output
from fmnist_ray.errors import SettingError

if TYPE_CHECKING:
    from fmnist_ray.config.train import TrainSettings

CLASSICAL_MODELS = ("lr", "linear-svm", "svm", "rf", "mlp", "gb", "knn", "hog-svm")
"""Of `heads.classical.MODELS`, here without importing scikit-learn."""


def run_classical(
    name: str,
    settings: TrainSettings,
    output: Output,
    out_uri: str,
    *,
    params: list[str],
    subset: int | None,
    replace: bool,
) -> None:
    """Train, judge, and show one model; `params` are NAME=VALUE of the scikit-learn estimator."""
    from fmnist_ray.flows.train_classical import train_classical

    outcome = train_classical(
        name, settings, out_uri=out_uri, params=dict(_assignment(text) for text in params), subset=subset,
        replace=replace,
    )  # fmt: skip
    output.facts(
        f"Trained {outcome.model}",
        {
            "training images": f"{outcome.num_train:,}",
            "validation accuracy": f"{outcome.validation_accuracy:.2%}",
            "test accuracy": f"{outcome.test_accuracy:.2%}",
            "fit seconds": f"{outcome.fit_s:.1f}",
            "result": outcome.result_uri,
        },
    )
    output.result(dataclasses.asdict(outcome))


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingError(f"{text!r} sets nothing: write NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
