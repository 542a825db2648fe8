"""`fmnist-ray catalogue build` and `catalogue check` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.datasets.shipped import sample_catalogue_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["catalogue", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two image files with a folder per class, and one that is no image."""
    cells = pq.read_table(sample_catalogue_path())["image"]
    for row, name in enumerate(("Coat/a.png", "Bag/b.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(cells[row].as_py())
    (tmp_path / "photos" / "notes.txt").touch()
    return tmp_path / "photos"


def test_build_then_check(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "catalogue"
    built = run("build", photos, "--out", out, "--rows-per-file", 1, "--json")
    assert built.exit_code == 0, built.output
    facts = json.loads(built.stdout)
    assert facts.pop("elapsed_s") > 0
    assert facts == {
        "catalogue_uri": str(out),
        "format": "folder",
        "num_rows": 2,
        "num_files": 2,
        "size_bytes": sum(path.stat().st_size for path in out.iterdir()),
        "labelled": True,
        "num_others": 1,
    }
    assert "1 files of the folder were left out" in built.stderr

    checked = run("check", out, "--json")
    assert checked.exit_code == 0
    seen = json.loads(checked.stdout)
    assert seen["columns"] == {"product_id": "string", "image": "binary", "label": "string"}
    assert (seen["num_rows"], seen["num_sampled"], seen["rows_by_label"]) == (2, 2, {"Bag": 1, "Coat": 1})
    assert seen["warnings"] == []


def test_check_reads_well(tmp_path: Path) -> None:
    table = pq.read_table(sample_catalogue_path())
    images = [b"GIF89a" if row % 3 == 0 else cell for row, cell in enumerate(table["image"].to_pylist())]
    path = tmp_path / "catalogue.parquet"
    pq.write_table(table.set_column(1, "image", pa.array(images, pa.binary())), path)
    done = run("check", path)
    assert done.exit_code == 0
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[0] == f"Catalogue {path}"
    assert "rows        1,000" in lines
    assert "ids         0 null, 0 repeated" in lines
    assert "image       binary  image" in lines
    assert "10 labels" in lines
    assert sum(line.startswith("unsupported_format") for line in lines) == 3
    assert lines[-1] == "warning: 34 of 100 sampled images would be rejected: unsupported_format 34."


def test_what_can_not_be_used_exits_with_2(photos: Path, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt"
    corrupt.mkdir()
    (corrupt / "part-0.parquet").write_bytes(b"PAR1 but no more")
    done = run("check", corrupt)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {corrupt}/part-0.parquet is not a readable Parquet file (")
    assert done.stderr.count("\n") == 1
    assert run("check", photos).exit_code == 2
    assert run("check", sample_catalogue_path(), "--image-column", "photo").exit_code == 2
    assert run("build", photos, "--out", tmp_path / "out", "--rows-per-file", 0).exit_code == 2
    assert run("build", photos, "--out", tmp_path / "out", "--format", "zip").exit_code == 2
    assert run("build", tmp_path / "nothing", "--out", tmp_path / "out").exit_code == 2


def test_a_catalogue_is_not_overwritten_unasked(photos: Path, tmp_path: Path) -> None:
    assert run("build", photos, "--out", tmp_path / "out").exit_code == 0
    again = run("build", photos, "--out", tmp_path / "out", "--json")
    assert again.exit_code == 3
    assert json.loads(again.stdout)["exit_code"] == 3
    assert "--replace" in again.stderr
    assert run("build", photos, "--out", tmp_path / "out", "--replace").exit_code == 0


def test_a_place_that_can_not_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("build", photos, "--out", tmp_path / "file" / "out")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {tmp_path}/file/out")
    assert done.stderr.count("\n") == 1
