"""`fmnist-ray data fetch` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmnist_ray.cli.app import app
from fmnist_ray.datasets.files import FILES


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "fmnist_ray" / "fashion-mnist"


def test_fetch_says_where_the_data_is(fashion_mnist: Path, cache: Path) -> None:
    done = CliRunner().invoke(app, ["data", "fetch", "--from", str(fashion_mnist), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"folder": str(cache), "source": str(fashion_mnist)}
    assert "all md5s match" in done.stderr
    assert len(list(cache.iterdir())) == len(FILES)
    again = CliRunner().invoke(app, ["data", "fetch"])
    assert again.exit_code == 0
    assert f"Fashion-MNIST is in {cache} (from the cache" in again.stdout


def test_a_folder_without_the_data(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "fetch", "--from", str(tmp_path), "--json"])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path} has no t10k-labels-idx1-ubyte.gz."
    assert json.loads(done.stdout)["kind"] == "SourceError"
    assert CliRunner().invoke(app, ["data", "fetch", "--from", str(tmp_path / "missing")]).exit_code == 2
