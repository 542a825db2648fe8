"""Classical models on pixels by name: scikit-learn's estimators as they are, for GridSearchCV and all else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from fmnist_ray.errors import SettingError
from fmnist_ray.heads.hog import hog


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicalModel:
    """One model: how images become rows, and the estimator."""

    about: str
    build: Callable[[int], Any]
    """The unfitted estimator of a seed."""
    gradients: bool = False
    """Rows are HOG features in place of pixels."""


MODELS: dict[str, ClassicalModel] = {
    "lr": ClassicalModel(
        about="logistic regression", build=lambda seed: LogisticRegression(C=0.1, max_iter=2_000, tol=1e-3)
    ),
    "linear-svm": ClassicalModel(
        about="linear SVM, one class against the rest", build=lambda seed: LinearSVC(C=0.01, dual=False, tol=1e-3)
    ),
    "svm": ClassicalModel(about="RBF SVM", build=lambda seed: SVC(C=10, cache_size=500)),
    "rf": ClassicalModel(
        about="random forest", build=lambda seed: RandomForestClassifier(n_estimators=200, n_jobs=-1, random_state=seed)
    ),
    "mlp": ClassicalModel(
        about="multi-layer perceptron",
        build=lambda seed: MLPClassifier((256,), early_stopping=True, n_iter_no_change=5, random_state=seed),
    ),
    "gb": ClassicalModel(
        about="gradient boosting",
        build=lambda seed: HistGradientBoostingClassifier(max_iter=150, early_stopping=True, random_state=seed),
    ),
    "knn": ClassicalModel(about="five nearest neighbours", build=lambda seed: KNeighborsClassifier(5)),
    "hog-svm": ClassicalModel(
        about="RBF SVM on histograms of oriented gradients",
        build=lambda seed: SVC(C=10, cache_size=500),
        gradients=True,
    ),
}


def build_classical(name: str, *, seed: int = 0, params: Mapping[str, Any] | None = None) -> ClassifierMixin:
    """The unfitted scikit-learn estimator of a model, with `params` as its `set_params` takes them.

    `SettingError` names the models, or the parameters of this one.
    """
    if name not in MODELS:
        raise SettingError(f"There is no classical model {name!r}; there are {', '.join(MODELS)}.")
    estimator = MODELS[name].build(seed)
    known = estimator.get_params()
    if unknown := sorted(set(params or {}) - set(known)):
        raise SettingError(f"{name} has no parameter {unknown[0]!r}; it has {', '.join(known)}.")
    estimator.set_params(**(params or {}))
    built: ClassifierMixin = estimator
    return built


def classical_rows(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows [N, width] for a model from images uint8 [N, channels, size, size]: pixels in 0..1, or HOG features."""
    scaled = pixels.astype(np.float32) / np.float32(255)
    return hog(scaled.mean(axis=1)) if MODELS[name].gradients else scaled.reshape(len(pixels), -1)
