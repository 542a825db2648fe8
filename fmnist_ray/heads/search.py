"""Cross-validation of SVM settings: tasks that know nothing of each other, so that they can run anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from fmnist_ray.config.svm import SvmSettings
from fmnist_ray.heads.estimators import fit_svm


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFeatures:
    """Rows in memory: `features` float32 [N, width] and `labels` int64 [N], every class in 0..K-1 present."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64]) -> LabelledFeatures:
        """The rows at these positions."""
        return LabelledFeatures(features=self.features[positions], labels=self.labels[positions])


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTask:
    """Fit on all folds but one, score that one."""

    settings: SvmSettings
    fold: int
    folds: int
    seed: int
    """Of the cut into folds."""


Search = Callable[[LabelledFeatures, Sequence[FoldTask]], Iterator[tuple[int, float]]]
"""Runs tasks on the same rows, wherever; yields the number of each task, and its accuracy, as they end."""


def run_fold(rows: LabelledFeatures, task: FoldTask) -> float:
    """The accuracy on the task's fold: the same split and score as scikit-learn's `cross_val_score`."""
    splits = StratifiedKFold(task.folds, shuffle=True, random_state=task.seed).split(rows.features, rows.labels)
    train, held = list(splits)[task.fold]
    fitted = fit_svm(task.settings, rows.features[train], rows.labels[train])
    return float(fitted.score(rows.features[held], rows.labels[held]))


def run_here(rows: LabelledFeatures, tasks: Sequence[FoldTask]) -> Iterator[tuple[int, float]]:
    """Run the tasks in this process, one after the other."""
    for number, task in enumerate(tasks):
        yield number, run_fold(rows, task)
