"""Runs of a comparison as Ray tasks give what they give in one process, and hand their errors on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fmnist_ray.config.compare import CompareSettings
from fmnist_ray.distributed.compare import runs_on_ray
from fmnist_ray.distributed.session import connect
from fmnist_ray.errors import SettingError
from fmnist_ray.flows.compare_rows import planned_runs
from fmnist_ray.flows.compare_run import run_once

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def cluster(fashion_mnist: Path) -> Iterator[None]:
    with connect(num_cpus=2):
        yield


def test_a_run_is_the_same_anywhere() -> None:
    runs = planned_runs(CompareSettings(out_uri="unused", only=("lr",), seeds=2, subset=200))
    found = {run.seed: result for run, result in runs_on_ray(runs, cpus=1)}
    assert sorted(found) == [0, 1]
    assert found[0]["test_accuracy"] == pytest.approx(run_once(runs[0])["test_accuracy"], abs=0.005)  # BLAS
    assert 0.6 < found[0]["test_accuracy"] < 0.85


def test_a_runs_own_error_comes_through() -> None:
    runs = planned_runs(CompareSettings(out_uri="unused", only=("lr",), seeds=1, subset=5))
    with pytest.raises(SettingError, match="10 classes need 20 or more"):
        list(runs_on_ray(runs, cpus=1))
