"""`fmnist-ray drift` over real runs of the tiny bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.classify import classify
from fmnist_ray.images.corruptions import corrupt
from fmnist_ray.images.encode import encode_png


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["drift", *map(str, arguments)])


@pytest.fixture
def night(tmp_path: Path, in_process: type[Any]) -> Callable[..., Path]:
    """Classifies the rows `start::2` of the sample, or what `change` makes of their pixels."""
    table = pq.read_table(sample_catalogue_path())

    def make(name: str, start: int = 0, corruption: str | None = None) -> Path:
        import pyarrow as pa

        from fmnist_ray.config.images import ImageLimits, Preparation
        from fmnist_ray.images.prepare import prepare_batch

        rows = table.take(list(range(start, len(table), 2)))
        if corruption:
            pixels = prepare_batch(rows["image"].to_pylist(), Preparation(), ImageLimits()).pixels
            cells = [encode_png(np.asarray(image[0])) for image in corrupt(pixels, corruption, 1)]
            rows = rows.set_column(rows.schema.get_field_index("image"), "image", pa.array(cells, pa.binary()))
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        settings = ClassifySettings(catalogue_uri=str(tmp_path / f"{name}.parquet"), out_uri=str(tmp_path / name))
        classify(settings, lambda: nullcontext(in_process()))
        return tmp_path / name

    return make


def test_like_the_night_before(night: Callable[..., Path]) -> None:
    before, tonight = night("before"), night("tonight", 1)
    done = run(tonight, "--against", before, "--gate", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["verdict"] == "Tonight is like the nights before"
    assert found["alarms"] == []
    assert Path(found["report_uri"]).parent.parent == tonight / "report"
    assert json.loads(Path(found["report_uri"]).with_name("drift.json").read_text())["num_rows"] == 500


def test_an_inverted_background(night: Callable[..., Path], tmp_path: Path) -> None:
    before, between, tonight = night("before"), night("between", 1), night("tonight", 1, "inverse")
    done = run(tonight, "--against", before, "--against", between, "--report-out", tmp_path / "report", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["kinds"]["brightness"] == "alarm"
    assert found["verdict"].startswith("Alarm: tonight differs in ")
    assert any("mean pixel value" in sentence for sentence in found["alarms"])
    page = (tmp_path / "report" / "drift.html").read_text()
    assert "<script" not in page
    assert len(page) < 3_000_000
    gated = run(tonight, "--against", before, "--gate")
    assert gated.exit_code == 3
    assert gated.stderr.startswith("error: Alarm: ")


def test_without_a_run_to_compare_with(night: Callable[..., Path], tmp_path: Path) -> None:
    assert run(night("tonight"), "--against", tmp_path / "nothing").exit_code == 4
