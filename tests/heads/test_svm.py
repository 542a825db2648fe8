"""SVM heads: the arrays say what scikit-learn says, whatever the kind, the number of classes, and the runtime."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from fmnist_ray.config.svm import KINDS, Kind, SvmSettings
from fmnist_ray.decisions.pairwise import pairwise_labels
from fmnist_ray.errors import BundleError, InputError
from fmnist_ray.heads.estimators import fit_svm, svm_head
from fmnist_ray.heads.svm import SvmHead

Rows = tuple[np.ndarray, np.ndarray]


def blobs(num_labels: int, num_rows: int = 400, width: int = 6, seed: int = 0) -> Rows:
    """Overlapping clouds, of unequal scale and with a feature that never changes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_rows) % num_labels
    centres = generator.normal(0, 2, (num_labels, width))
    features = (centres[labels] + generator.normal(0, 1.2, (num_rows, width))) * np.arange(1, width + 1)
    features[:, 0] = 3.0
    return features.astype(np.float32), labels


def sklearn_scores(fitted: Pipeline, features: np.ndarray) -> np.ndarray:
    """Its own decision function; for two classes with both signs, as a score for each class, or for their pair."""
    svm = fitted[-1]
    if isinstance(svm, SVC):
        svm.set_params(decision_function_shape="ovo", break_ties=False)
        scores = fitted.decision_function(features)
        svm.set_params(decision_function_shape="ovr", break_ties=True)
        return -scores[:, None] if scores.ndim == 1 else scores
    scores = fitted.decision_function(features)
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


@pytest.mark.parametrize("num_labels", [2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_arrays_give_scikit_learns_scores_and_labels(kind: Kind, num_labels: int) -> None:
    features, labels = blobs(num_labels)
    fitted = fit_svm(SvmSettings(kind=kind, components=50, c=1.0), features, labels)
    head = SvmHead.from_bytes(svm_head(fitted).to_bytes())
    scores = head.scores(features)
    np.testing.assert_allclose(scores, sklearn_scores(fitted, features), atol=2e-4)
    found = pairwise_labels(scores, num_labels) if kind == "rbf" else scores.argmax(axis=1)
    np.testing.assert_array_equal(found, fitted.predict(features))
    assert (found == labels).mean() > 0.7


def test_class_weights_find_more_of_a_rare_class() -> None:
    features, labels = blobs(2, num_rows=600, width=3, seed=1)
    kept = (labels == 0) | (np.random.default_rng(0).random(600) < 0.1)
    rare = labels[kept] == 1
    for kind in KINDS:
        recall = [
            (fit_svm(SvmSettings(kind=kind, class_weights=on, c=0.1, components=40), features[kept], labels[kept])
             .predict(features[kept])[rare] == 1).mean()
            for on in (False, True)
        ]  # fmt: skip
        assert recall[1] > recall[0], kind


def test_nystroem_comes_close_to_the_exact_kernel() -> None:
    features, labels = blobs(6, 6_000)
    train, held = slice(0, 3_000), slice(3_000, None)
    scores = [
        fit_svm(settings, features[train], labels[train]).score(features[held], labels[held])
        for settings in (SvmSettings(kind="rbf", c=1.0), SvmSettings(c=1.0, components=300))
    ]
    assert abs(scores[0] - scores[1]) < 0.01


def test_features_that_never_change_are_refused() -> None:
    for kind in KINDS:
        with pytest.raises(InputError, match="All 20 rows have the same features"):
            fit_svm(SvmSettings(kind=kind), np.ones((20, 4), np.float32), np.arange(20) % 2)


def test_too_many_rows_for_an_exact_kernel_are_refused() -> None:
    features = np.zeros((100_001, 1), np.float32)
    features[0] = 1
    with pytest.raises(InputError, match="use --kind nystroem"):
        fit_svm(SvmSettings(kind="rbf"), features, np.arange(100_001) % 2)


def test_arrays_that_do_not_fit_together_are_no_head() -> None:
    features, labels = blobs(3)
    head = svm_head(fit_svm(SvmSettings(kind="linear"), features, labels))
    with pytest.raises(BundleError, match="weights have shape"):
        SvmHead(mean=head.mean, scale=head.scale, centres=head.centres, gamma=head.gamma, weights=head.weights[:2],
                intercept=head.intercept)  # fmt: skip
    with pytest.raises(BundleError, match="does not hold"):
        SvmHead.from_bytes(b"nothing of the kind")
