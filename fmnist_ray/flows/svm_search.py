"""The best SVM settings by cross-validation: every setting on every fold a task of its own, and none done twice."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fmnist_ray.config.svm import SvmSearch, SvmSettings
from fmnist_ray.config.tune import Choice
from fmnist_ray.flows.tune import draw_value
from fmnist_ray.heads.search import FoldTask, LabelledFeatures, Search
from fmnist_ray.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedSetting:
    """One setting, and how it did."""

    settings: SvmSettings
    varied: dict[str, Any]
    accuracies: tuple[float, ...]
    """By fold."""

    @property
    def accuracy(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.accuracies))


def search_settings(
    base: SvmSettings,
    search: SvmSearch,
    rows: LabelledFeatures,
    *,
    store: Store,
    execute: Search,
    on_progress: Callable[[int, int], None],
) -> list[SearchedSetting]:
    """Every setting's accuracy on held-out folds, best first; of equals the one that came first, as in GridSearchCV.

    Each result is kept in `store` under a hash of its rows and settings, so that the same search goes on where it was.
    """
    drawn = [(base.replaced(varied), varied) for varied in _drawn(search)]
    tasks = [
        FoldTask(settings=settings, fold=fold, folds=search.folds, seed=search.seed)
        for settings, _ in drawn
        for fold in range(search.folds)
    ]
    of_rows = _digest(rows)
    keys = [_key(of_rows, task) for task in tasks]
    known = {info.key for info in store.list("folds/")}
    scores = {key: float(json.loads(store.get(key))["accuracy"]) for key in keys if key in known}
    missing = [number for number, key in enumerate(keys) if key not in scores]
    on_progress(len(tasks) - len(missing), len(tasks))
    for number, accuracy in execute(rows, [tasks[number] for number in missing]):
        key = keys[missing[number]]
        store.put(key, json.dumps({"accuracy": accuracy, **asdict(tasks[missing[number]])}).encode())
        scores[key] = accuracy
        on_progress(sum(key in scores for key in keys), len(tasks))
    folds = [scores[key] for key in keys]
    found = [
        SearchedSetting(
            settings=settings, varied=varied, accuracies=tuple(folds[number * search.folds :][: search.folds])
        )
        for number, (settings, varied) in enumerate(drawn)
    ]
    return sorted(found, key=lambda setting: -setting.accuracy)


def _drawn(search: SvmSearch) -> list[dict[str, Any]]:
    """What varies in each setting: the grid, the last name fastest, or as many random draws as were asked for."""
    if search.trials is not None:
        generator = np.random.default_rng(search.seed)
        return [
            {name: draw_value(space, generator) for name, space in search.vary.items()} for _ in range(search.trials)
        ]
    values = [space.values for space in search.vary.values() if isinstance(space, Choice)]
    return [dict(zip(search.vary, chosen, strict=True)) for chosen in itertools.product(*values)]


def _digest(rows: LabelledFeatures) -> bytes:
    digest = hashlib.sha256()
    for array in (rows.features, rows.labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _key(of_rows: bytes, task: FoldTask) -> str:
    digest = hashlib.sha256(json.dumps(asdict(task), sort_keys=True).encode() + of_rows)
    return f"folds/{digest.hexdigest()[:20]}.json"
