"""The nearest vectors are those that a comparison with every one finds, however they are cut into blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_ray.heads.nearest import Nearest


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_vectors=st.integers(0, 40),
    num_queries=st.integers(1, 4),
    k=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    coarse=st.booleans(),
)
def test_blocks_make_no_difference(
    seed: int, num_vectors: int, num_queries: int, k: int, cuts: list[int], coarse: bool
) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(num_vectors, 5)).astype(np.float32)
    if coarse:  # equal vectors, and some of zeros
        vectors = np.round(vectors * 0.6)
    queries = generator.normal(size=(num_queries, 5)).astype(np.float32)
    nearest = Nearest(queries, k)
    bounds = sorted({0, num_vectors, *(min(cut, num_vectors) for cut in cuts)})
    for start, stop in [*zip(bounds, bounds[1:], strict=False), (num_vectors, num_vectors)]:
        nearest.offer(nearest.similarities(vectors[start:stop]), start)

    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    expected = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ vectors.T / lengths
    best = -np.sort(-expected, axis=1)[:, :k]
    np.testing.assert_allclose(nearest.best, best, atol=1e-5)
    found = np.take_along_axis(expected, nearest.rows, axis=1)
    np.testing.assert_allclose(found, nearest.best, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in nearest.rows.tolist())
