"""The demo's catalogue: built once, found again, and the shipped sample where the data can't be had."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fmnist_ray.catalogue.build import UNFINISHED
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets import fashion_mnist as data_set
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.demo import prepare_demo


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which Fashion-MNIST can't be had."""
    monkeypatch.setattr(data_set, "default_sources", lambda cache: ())
    return monkeypatch


def test_the_catalogue_is_built_once(fashion_mnist: Path, tmp_path: Path) -> None:
    first = prepare_demo(str(tmp_path))
    assert (first.num_built, first.no_data) == (10_000, None)
    assert first.results_uri == str(tmp_path / "results")
    (part,) = Path(first.catalogue_uri).iterdir()
    before = part.stat()
    again = prepare_demo(str(tmp_path))
    assert (again.num_built, again.catalogue_uri) == (0, first.catalogue_uri)
    assert part.stat().st_mtime_ns == before.st_mtime_ns
    (part.parent / UNFINISHED).touch()
    assert prepare_demo(str(tmp_path)).num_built == 10_000


def test_without_the_data_the_sample_is_classified(
    nowhere: pytest.MonkeyPatch, fashion_mnist: Path, tmp_path: Path, tiny_bundle: Path, in_process: Any
) -> None:
    prepared = prepare_demo(str(tmp_path))
    assert prepared.catalogue_uri == str(sample_catalogue_path())
    assert prepared.no_data is not None
    assert prepared.no_data.startswith("Fashion-MNIST can't be had from any place")
    settings = ClassifySettings(
        catalogue_uri=prepared.catalogue_uri, out_uri=prepared.results_uri, bundle=str(tiny_bundle)
    )
    summary = classify(settings, lambda: nullcontext(in_process()))
    assert (summary.num_rows, summary.num_rejects, summary.committed) == (1_000, 0, True)
    assert summary.accuracy is not None

    nowhere.undo()
    later = prepare_demo(str(tmp_path))
    assert (later.num_built, later.no_data) == (10_000, None)
    assert later.results_uri != prepared.results_uri
    assert pq.read_table(later.catalogue_uri).num_rows == 10_000
