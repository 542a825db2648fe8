"""SVMs by settings, as scikit-learn pipelines, and the plain arrays of a fitted one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from fmnist_ray.config.svm import SvmSettings
from fmnist_ray.errors import InputError
from fmnist_ray.heads.streaming import fit_nystroem
from fmnist_ray.heads.svm import SvmHead

_CACHE_MB = 500
"""Of kernel values; scikit-learn's own 200 is for machines with less memory."""
_BATCH = 4_096
_LARGEST_EXACT = 100_000
"""Rows; the time of an exact kernel grows with their square."""


def build_svm(settings: SvmSettings, *, width: int) -> Pipeline:
    """An unfitted pipeline of scikit-learn for a linear or an exact RBF SVM on `width` features."""
    weight = "balanced" if settings.class_weights else None
    svm: LinearSVC | SVC
    if settings.kind == "linear":
        svm = LinearSVC(C=settings.effective_c, dual=False, class_weight=weight)
    else:
        svm = SVC(
            C=settings.effective_c,
            gamma=settings.gamma or 1 / width,
            class_weight=weight,
            cache_size=_CACHE_MB,
            break_ties=True,
        )
    return Pipeline([("scaler", StandardScaler()), ("svm", svm)])


def fit_svm(settings: SvmSettings, features: NDArray[np.float32], labels: NDArray[np.int64]) -> Pipeline:
    """A fitted pipeline from rows in memory: `features` [N, width], `labels` [N], every class in 0..K-1 present.

    `InputError` for features that say nothing and for more rows than an exact kernel can take.
    """
    if not (features != features[:1]).any():
        raise InputError(f"All {len(features)} rows have the same features: there is nothing to learn from them.")
    if settings.kind == "nystroem":
        order = np.random.default_rng(settings.seed)

        def batches(epoch: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
            rows = order.permutation(len(labels)) if epoch else np.arange(len(labels))
            for start in range(0, len(rows), _BATCH):
                chosen = rows[start : start + _BATCH]
                yield features[chosen], labels[chosen]

        return fit_nystroem(settings, batches, num_labels=int(labels.max()) + 1)
    if settings.kind == "rbf" and len(features) > _LARGEST_EXACT:
        raise InputError(
            f"{len(features)} rows are too many for an exact RBF kernel, which takes {_LARGEST_EXACT}: "
            "use --kind nystroem, which comes within a few tenths of a point."
        )
    return build_svm(settings, width=features.shape[1]).fit(features, labels)


def svm_head(fitted: Pipeline) -> SvmHead:
    """The arrays of a fitted pipeline. Scores are those of its `decision_function`; of an `SVC` those of
    `decision_function_shape="ovo"`. Two classes have one score each, or one for their pair."""
    scaler, svm = fitted[0], fitted[-1]
    if isinstance(svm, SVC):
        centres, gamma = svm.support_vectors_, svm.gamma
        weights, intercept = _pair_weights(svm), svm.intercept_ * _pair_sign(svm)
    else:
        coefficients, intercept = svm.coef_, svm.intercept_
        if len(coefficients) == 1:
            coefficients, intercept = np.concatenate([-coefficients, coefficients]), np.array([-1, 1]) * intercept
        centres, gamma, weights = np.empty((0, len(scaler.mean_))), 0.0, coefficients.T
        if isinstance(kernel := fitted[1], Nystroem):
            centres, gamma, weights = kernel.components_, kernel.gamma, kernel.normalization_.T @ weights
    arrays = (scaler.mean_, scaler.scale_, centres, [gamma], weights, intercept)
    names = ("mean", "scale", "centres", "gamma", "weights", "intercept")
    return SvmHead(**dict(zip(names, _float32(arrays), strict=True)))


def _float32(arrays: Iterable[object]) -> Iterator[NDArray[np.float32]]:
    return (np.asarray(array, np.float32) for array in arrays)


def _pair_sign(svm: SVC) -> int:
    """scikit-learn turns the sign of the only pair of two classes round."""
    return -1 if len(svm.classes_) == 2 else 1


def _pair_weights(svm: SVC) -> NDArray[np.float64]:
    """Weights [support vectors, pairs]: in the pair i < j, vectors of class i count with row j - 1 of `dual_coef_`,
    those of class j with row i."""
    num_labels = len(svm.n_support_)
    ends = np.cumsum(svm.n_support_)
    spans = [slice(end - count, end) for end, count in zip(ends, svm.n_support_, strict=True)]
    pairs = [(i, j) for i in range(num_labels) for j in range(i + 1, num_labels)]
    weights = np.zeros((len(svm.support_vectors_), len(pairs)))
    for pair, (i, j) in enumerate(pairs):
        weights[spans[i], pair] = svm.dual_coef_[j - 1, spans[i]]
        weights[spans[j], pair] = svm.dual_coef_[i, spans[j]]
    return weights * _pair_sign(svm)
