"""A kernel SVM on more rows than fit into memory: Nystroem's approximation, then a linear SVM batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fmnist_ray.config.svm import SvmSettings
from fmnist_ray.errors import InputError

Batches = Callable[[int], Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]]
"""Of an epoch, features [n, width] and labels [n], n up to some thousands. Epoch 0 only looks; from 1 on the
rows should come in an order of their own each time, and not sorted by class."""
_ROWS_TO_SEE = 500_000


def fit_nystroem(settings: SvmSettings, batches: Batches, *, num_labels: int) -> Pipeline:
    """A fitted pipeline of scaler, Nystroem map (Williams and Seeger, 2000) and linear SVM.

    The SVM is averaged stochastic gradient descent on the hinge loss, one class against the rest (Bottou, 2010).
    Memory holds the sample of `components` rows and one batch, whatever the number of rows.
    """
    generator = np.random.default_rng(settings.seed)
    scaler, counts = StandardScaler(), np.zeros(num_labels, np.int64)
    sample = _Sample(settings.components, generator)
    for features, labels in batches(0):
        scaler.partial_fit(features)
        counts += np.bincount(labels, minlength=num_labels)
        sample.add(features)
    if not scaler.var_.any():
        raise InputError(f"All {counts.sum()} rows have the same features: there is nothing to learn from them.")
    num_rows, landmarks = int(counts.sum()), scaler.transform(sample.rows)
    kernel = Nystroem(
        gamma=settings.gamma or 1 / landmarks.shape[1], n_components=len(landmarks), random_state=settings.seed
    ).fit(landmarks)
    svm = SGDClassifier(alpha=1 / (settings.effective_c * num_rows), average=num_rows, random_state=settings.seed)
    weights = num_rows / (num_labels * np.maximum(counts, 1)) if settings.class_weights else np.ones(num_labels)
    for epoch in range(1, 1 + (settings.epochs or min(10, max(2, -(-_ROWS_TO_SEE // num_rows))))):
        for features, labels in batches(epoch):
            mapped = kernel.transform(scaler.transform(features))
            svm.partial_fit(mapped, labels, classes=np.arange(num_labels), sample_weight=weights[labels])
    return Pipeline([("scaler", scaler), ("kernel", kernel), ("svm", svm)])


class _Sample:
    """`size` rows of a stream of unknown length, each row as likely: those with the lowest of random numbers."""

    def __init__(self, size: int, generator: np.random.Generator) -> None:
        self._size = size
        self._generator = generator
        self._keys = np.empty(0)
        self.rows: NDArray[np.float32] = np.empty((0, 0), np.float32)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Rows [n, width] of the stream."""
        keys = np.concatenate([self._keys, self._generator.random(len(rows))])
        together = np.concatenate([self.rows, rows]) if len(self._keys) else rows
        kept = np.sort(np.argsort(keys)[: self._size])
        self._keys, self.rows = keys[kept], together[kept]
