"""A search on Ray chooses what scikit-learn's own GridSearchCV chooses, and hands its errors on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from fmnist_ray.config.svm import SvmSearch, SvmSettings
from fmnist_ray.config.tune import Choice
from fmnist_ray.distributed.search import search_folds
from fmnist_ray.distributed.session import connect
from fmnist_ray.errors import InputError
from fmnist_ray.flows.svm_search import search_settings
from fmnist_ray.heads.estimators import build_svm
from fmnist_ray.heads.search import FoldTask, LabelledFeatures
from fmnist_ray.store.memory import MemoryStore


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with connect(num_cpus=2):
        yield


def rows() -> LabelledFeatures:
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features = generator.normal(0, 1, (300, 5)) + generator.normal(0, 1, (3, 5))[labels]
    return LabelledFeatures(features=features.astype(np.float32), labels=labels)


def test_it_chooses_what_grid_search_cv_chooses() -> None:
    data, cs = rows(), (0.01, 0.1, 1.0)
    search = SvmSearch(vary={"kind": Choice(values=("linear", "rbf")), "c": Choice(values=cs)}, folds=4, seed=3)
    done: list[tuple[int, int]] = []
    found = search_settings(
        SvmSettings(), search, data, store=MemoryStore(), execute=search_folds,
        on_progress=lambda finished, planned: done.append((finished, planned)),
    )  # fmt: skip
    estimators = [build_svm(SvmSettings(kind=kind), width=5) for kind in ("linear", "rbf")]
    theirs = GridSearchCV(
        estimators[0],
        [{"svm": [estimator["svm"]], "svm__C": cs} for estimator in estimators],
        cv=StratifiedKFold(4, shuffle=True, random_state=3),
    ).fit(data.features, data.labels)
    assert found[0].accuracy == pytest.approx(theirs.best_score_, abs=1e-12)
    assert found[0].settings.c == theirs.best_params_["svm__C"]
    accuracies = {(setting.settings.kind, setting.settings.c): setting.accuracy for setting in found}
    expected = [accuracies[kind, c] for kind in ("linear", "rbf") for c in cs]
    np.testing.assert_allclose(expected, theirs.cv_results_["mean_test_score"], atol=1e-12)
    assert done[0] == (0, 24)
    assert done[-1] == (24, 24)


def test_a_folds_own_error_comes_through() -> None:
    same = LabelledFeatures(features=np.ones((20, 2), np.float32), labels=np.arange(20) % 2)
    with pytest.raises(InputError, match="have the same features"):
        list(search_folds(same, [FoldTask(settings=SvmSettings(), fold=0, folds=2, seed=0)]))
