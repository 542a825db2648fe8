"""Searching a table of features: the rows nearest to some vectors, every row compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fmnist_ray.catalogue.feature_rows import FeatureRows
from fmnist_ray.errors import SettingError
from fmnist_ray.heads.nearest import Nearest

PRODUCT = ("product_id", "input_file", "input_row", "label")
"""Columns of a table of features that say which product a row is."""


def search(
    table: FeatureRows,
    queries: NDArray[np.float32],
    k: int,
    *,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Nearest:
    """The `k` rows of the table that are nearest to each of the queries [Q, width]; files are read side by side."""
    nearest = Nearest(queries, k)

    def similarities(number: int) -> NDArray[np.float32]:
        features = table.features(number)
        if features.shape[1] != queries.shape[1]:
            raise SettingError(f"{table.uri} has {features.shape[1]} features a row, the query {queries.shape[1]}.")
        return nearest.similarities(features)

    # Parquet and BLAS let go of the interpreter; threads of BLAS's own would only wait for each other.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for number, found in enumerate(pool.map(similarities, range(len(table.spans)))):
            nearest.offer(found, table.spans[number].start)
            if on_progress is not None:
                on_progress(table.spans[number].stop, table.num_rows)
    return nearest
