"""One graph for both heads: the SVM's nodes give what scikit-learn says, and leave the network as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmnist_ray.bundle.format import GRAPH, read_bundle
from fmnist_ray.bundle.head_graph import join_head, without_head
from fmnist_ray.bundle.runtimes import OpenVinoRuntime, _torch_head
from fmnist_ray.config.svm import KINDS, Kind, SvmSettings
from fmnist_ray.errors import BundleError
from fmnist_ray.heads.estimators import fit_svm, svm_head
from fmnist_ray.heads.svm import SvmHead


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path) -> bytes:
    return read_bundle(str(tiny_bundle)).files[GRAPH]


def score(graph: bytes, num_rows: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    pixels = np.random.default_rng(7).integers(0, 256, (num_rows, 1, 28, 28), dtype=np.uint8)
    scores = OpenVinoRuntime(graph, precision="f32", num_threads=1).score(pixels)
    return scores.logits, scores.features, scores.svm


@pytest.mark.parametrize("kind", KINDS)
def test_the_joined_graph_says_what_scikit_learn_says(graph: bytes, kind: Kind) -> None:
    logits, features, none = score(graph)
    assert none is None
    fitted = fit_svm(SvmSettings(kind=kind, components=60, c=1.0), features, logits[:, :4].argmax(axis=1))
    head = svm_head(fitted)
    joined = join_head(graph, head)
    same_logits, same_features, scores = score(joined)
    np.testing.assert_array_equal(same_logits, logits)
    np.testing.assert_array_equal(same_features, features)
    assert scores is not None
    np.testing.assert_allclose(scores, head.scores(features), atol=1e-4)
    if kind != "rbf":
        np.testing.assert_allclose(scores, fitted.decision_function(features), atol=1e-3)
    import torch

    torched = _torch_head(head.to_bytes(), torch.device("cpu"))(torch.from_numpy(features.copy()))
    np.testing.assert_allclose(torched.numpy(), scores, atol=1e-4)


def test_a_head_is_replaced_and_taken_off(graph: bytes) -> None:
    def head(value: float) -> SvmHead:
        return SvmHead(
            mean=np.zeros(49, np.float32), scale=np.ones(49, np.float32), centres=np.empty((0, 49), np.float32),
            gamma=np.zeros(1, np.float32), weights=np.zeros((49, 10), np.float32),
            intercept=np.full(10, value, np.float32),
        )  # fmt: skip

    twice = join_head(join_head(graph, head(1)), head(2))
    scores = score(twice, 3)[2]
    assert scores is not None
    assert (scores == 2).all()
    assert without_head(twice) == without_head(graph)
    assert score(without_head(twice), 3)[2] is None


def test_a_head_of_another_width_is_refused(graph: bytes) -> None:
    head = SvmHead(
        mean=np.zeros(5, np.float32), scale=np.ones(5, np.float32), centres=np.empty((0, 5), np.float32),
        gamma=np.zeros(1, np.float32), weights=np.zeros((5, 10), np.float32), intercept=np.zeros(10, np.float32),
    )  # fmt: skip
    with pytest.raises(BundleError):
        score(join_head(graph, head))
