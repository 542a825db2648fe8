"""Train a classical model on pixels and judge it on the test images: a yardstick for the networks, no bundle."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import NotFoundError, OutputTakenError, SettingError
from fmnist_ray.flows.split import stratified_split
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.heads.classical import build_classical, classical_rows
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.store import open_store

RESULT = "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicalOutcome:
    """What a classical model reached."""

    result_uri: str
    model: str
    params: dict[str, Any]
    """Those that were changed."""
    num_train: int
    num_test: int
    validation_accuracy: float
    test_accuracy: float
    recall_by_label: dict[str, float]
    """On the test images."""
    fit_s: float
    score_s: float


def train_classical(
    name: str,
    settings: TrainSettings,
    *,
    out_uri: str,
    params: Mapping[str, Any] | None = None,
    subset: int | None = None,
    replace: bool = False,
) -> ClassicalOutcome:
    """Fit the model on the training images that `settings` name, or on `subset` of them, and write `result.json`.

    Validation and test images are those that a network of the same settings has. Raises `SettingError` for a model or
    parameter that does not exist, `OutputTakenError` when `out_uri` holds a result and `replace` is off.
    """
    out = open_store(out_uri)
    _check_free(out_uri, replace=replace)
    estimator: Any = build_classical(name, seed=settings.seed, params=params)
    data = load_training_data(settings)
    train = data.train
    if not isinstance(train, LabelledImages):
        raise SettingError(
            f"{settings.source.catalogue_uri} is too large for a model that needs all images in memory: train a "
            "network, or take a part of the catalogue."
        )
    if subset is not None and subset < len(train.labels):
        if subset < 2 * len(data.labels):
            raise SettingError(
                f"--subset is {subset}; {len(data.labels)} classes need at least {2 * len(data.labels)}."
            )
        rows = np.arange(len(train.labels))
        train = train.take(stratified_split(train.labels, rows, subset / len(rows), settings.seed)[1])
    started = time.perf_counter()
    estimator.fit(classical_rows(name, train.pixels), train.labels)
    fitted = time.perf_counter()
    predicted = estimator.predict(classical_rows(name, data.test.pixels))
    scored = time.perf_counter()
    validation = estimator.predict(classical_rows(name, data.validation.pixels))
    right = predicted == data.test.labels
    outcome = ClassicalOutcome(
        result_uri=f"{out.uri}/{RESULT}",
        model=name,
        params=dict(params or {}),
        num_train=len(train.labels),
        num_test=len(right),
        validation_accuracy=float((validation == data.validation.labels).mean()),
        test_accuracy=float(right.mean()),
        recall_by_label={
            label: float(right[data.test.labels == number].mean()) for number, label in enumerate(data.labels)
        },
        fit_s=fitted - started,
        score_s=scored - fitted,
    )
    out.put(RESULT, json.dumps(asdict(outcome), indent=2, default=str).encode() + b"\n")
    return outcome


def _check_free(out_uri: str, *, replace: bool) -> None:
    try:
        open_store(out_uri).info(RESULT)
    except NotFoundError:
        return
    if not replace:
        raise OutputTakenError(f"{out_uri} holds a result already: name another place, or add --replace.")
