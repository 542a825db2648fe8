"""The hybrid study: a softmax head against SVM heads on the same features, with few labelled rows and with many."""

from __future__ import annotations

import base64
import difflib
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmnist_ray.config.compare import CompareSettings
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.compare_rows import content_digest
from fmnist_ray.networks.recipes import find_recipe
from fmnist_ray.reports.comparison import mean_interval
from fmnist_ray.reports.heads_page import SVMS

SHIPPED = "default"
"""The network that is loaded, not trained: its features have seen all labels, only its heads as many as a run says."""
NETWORKS = ("keras-cnn3", "cnn3-128-dropout", "bn-cnn", SHIPPED)
"""Recipes of the networks whose features are used."""
ROWS = (100, 1_000, 10_000, 60_000)
"""Labelled images, those that a recipe holds out included: nothing in a run sees another label."""
_LEAST_STEPS = 1_000
"""Few rows make short epochs: there are as many more of them as it takes for so many steps of the optimiser."""
_VERSION = 1
"""Of what a run does; another one makes every run a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsRun:
    """One network from a number of labelled rows, and all heads on its features."""

    network: str
    """One of `NETWORKS`."""
    num_rows: int
    seed: int
    """Of the rows, their split, and the training."""
    epochs: int | None

    @property
    def settings(self) -> TrainSettings:
        """How the network is trained: its recipe, with more epochs, and patience, where the rows are few."""
        recipe = find_recipe(self.network).override([f"seed={self.seed}"])
        if self.network == SHIPPED:
            return recipe
        if self.epochs is not None:
            return recipe.override([f"epochs={self.epochs}"])
        steps = max(1, round(self.num_rows * (1 - recipe.validation_share)) // recipe.batch_size)
        times = max(1, -(-_LEAST_STEPS // (steps * recipe.epochs)))
        return recipe.override([f"epochs={recipe.epochs * times}", f"patience={recipe.patience * times}"])

    @property
    def key(self) -> str:
        """Where its result is kept. The name says all that changes it."""
        settings = [self.settings.digest(), self.settings.epochs]
        content = {"settings": settings, "num_rows": self.num_rows, "version": _VERSION}
        return f"heads/{self.network}/{self.num_rows}-{self.seed}-{content_digest(content)}.json"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.network}, {self.num_rows:,} rows, seed {self.seed}"

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept of it beside its result."""
        return {"network": self.network, "num_rows": self.num_rows, "seed": self.seed}


def planned_heads(settings: CompareSettings) -> list[HeadsRun]:
    """Every run, all with seed 0 and few rows first. `SettingError` for a network that the study does not have."""
    for name in settings.only:
        if name not in NETWORKS:
            near = difflib.get_close_matches(name, NETWORKS, n=3, cutoff=0.4) or NETWORKS
            raise SettingError(f"The study heads has no network {name!r}; the nearest are {', '.join(near)}.")
    most = settings.subset or max(ROWS)
    sizes = [size for size in ROWS if size < most] + [min(most, max(ROWS))]
    return [
        HeadsRun(network=network, num_rows=size, seed=seed, epochs=settings.epochs)
        for seed in range(settings.seeds)
        for size in sizes
        for network in settings.only or NETWORKS
        if not (network == SHIPPED and size == max(ROWS) and seed > 0)  # nothing of it would differ
    ]


def heads_content(runs: Sequence[HeadsRun], results: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The study's own part of its JSON: a row for each network and number of labelled rows, and the corruptions."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in runs:
        if run.key in results:
            groups.setdefault((run.network, run.num_rows), []).append(results[run.key])
    found = sorted(groups.items(), key=lambda group: (NETWORKS.index(group[0][0]), group[0][1]))
    return {
        "rows": [{"network": name, "num_rows": size, **_row(of_seeds)} for (name, size), of_seeds in found],
        "corruptions": [
            {"network": name, "num_rows": size, **_corrupted([result["corrupted"] for result in of_seeds])}
            for (name, size), of_seeds in found
            if of_seeds[0]["corrupted"]
        ],
        "missing": [run.title for run in runs if run.key not in results],
    }


def _row(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "num_seeds": len(results),
        "num_train": results[0]["num_train"],
        "epochs": results[0]["epochs"],
        "width": results[0]["width"],
        "refitted": results[0]["refitted"],
        "fit_s": statistics.fmean(result["fit_s"] for result in results),
        "softmax": _accuracy([result["heads"]["softmax"] for result in results]),
        "svms": {name: _against([result["heads"][name] for result in results]) for name in SVMS},
    }


def _corrupted(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, by corruption and of all."""
    names = tables[0]["softmax"]["by_corruption"]
    return {
        "num_images": tables[0]["num_images"],
        "num_seeds": len(tables),
        "rows": [{"name": name, **{head: _mean(tables, head, name) for head in ("softmax", *SVMS)}} for name in names],
        "softmax": _accuracy([table["softmax"] for table in tables]),
        "svms": {name: _against([table[name] for table in tables]) for name in SVMS},
    }


def _mean(tables: Sequence[dict[str, Any]], head: str, corruption: str) -> float:
    return statistics.fmean(table[head]["by_corruption"][corruption] for table in tables)


def _accuracy(heads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    accuracies = [head["accuracy"] for head in heads]
    return {"accuracy": statistics.fmean(accuracies), "accuracies": accuracies}


def _against(heads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An SVM's accuracy and what it is more than softmax's, with an interval over the test images: each image counts
    with the mean of its differences over the seeds."""
    per_image = np.mean([unpacked(head["differences"]) for head in heads], axis=0)
    difference, low, high = mean_interval(per_image)
    return {
        **_accuracy(heads),
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        **({"p_values": [head["p_value"] for head in heads]} if "p_value" in heads[0] else {}),
    }


def packed(values: NDArray[np.floating]) -> str:
    """One value per test image, mostly 0, as text for JSON."""
    return base64.b64encode(zlib.compress(values.astype(np.float16).tobytes())).decode()


def unpacked(text: str) -> NDArray[np.float64]:
    """The inverse of `packed`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.float16).astype(np.float64)
