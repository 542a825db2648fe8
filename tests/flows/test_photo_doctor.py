"""The photo doctor says what is true of the photos, warns of what costs answers, and shows it."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from fmnist_ray.cli.app import app
from fmnist_ray.datasets.fashion_mnist import load_split
from fmnist_ray.datasets.shipped import sample_catalogue_path


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["catalogue", "doctor", *map(str, arguments)])


def examine(tmp_path: Path, cells: list[bytes | None], *options: object) -> dict[str, Any]:
    ids = [f"<b>{number}" for number in range(len(cells))]
    pq.write_table(pa.table({"product_id": ids, "image": cells}), tmp_path / "photos.parquet")
    done = doctor(tmp_path / "photos.parquet", "--out", tmp_path / "found", "--json", *options)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {finding["what"]: finding["verdict"] for finding in found["findings"]}


def garments(count: int) -> list[np.ndarray]:
    """Test images of Fashion-MNIST as a shop would show them: large, dark on white, with a margin."""
    images = load_split("test")[0][:count]
    return [np.pad(np.kron(255 - image, np.ones((6, 6), np.uint8)), 30, constant_values=255) for image in images]


def encoded(pixels: np.ndarray, format_: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    sink = BytesIO()
    Image.fromarray(pixels).convert(mode).save(sink, format_, **options)
    return sink.getvalue()


def test_a_shop_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    photos = garments(24)
    cells = [encoded(pixels) for pixels in photos[:18]]
    cells += [encoded(pixels, mode="RGBA") for pixels in photos[18:20]]
    cells += [encoded(pixels[::-1, ::-1], "JPEG", exif=exif) for pixels in photos[20:22]]
    cells += [encoded(pixels, "WEBP", lossless=True) for pixels in photos[22:]]
    found = examine(tmp_path, [*cells, None])
    assert found["num_rows"] == found["num_sampled"] == 25
    figures = found["figures"]
    assert figures["rejects_by_reason"] == {"empty": 1}
    assert figures["formats"] == {"PNG": 20, "JPEG": 2, "WebP": 2}
    assert (figures["num_turned"], figures["num_transparent"], figures["num_bright_on_dark"]) == (2, 2, 0)
    assert figures["num_even_ground"] >= 23
    assert 0.7 < figures["median_extent"] < 0.9
    assert verdicts(found) == {
        "decodable": "warning",
        "size": "ok",
        "orientation": "ok",
        "transparency": "ok",
        "polarity": "ok",
        "background": "ok",
        "product": "ok",
        "likeness": verdicts(found)["likeness"],
    }
    assert "24 are negated" in found["findings"][4]["found"]
    page = (tmp_path / "found" / "photos.html").read_text()
    assert page.count("data:image/png") == 48
    assert "<script" not in page
    assert "<b>1" not in page
    assert json.loads((tmp_path / "found" / "photos.json").read_text())["figures"] == figures


def test_noise_is_a_bad_background_and_unlike_everything(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    found = examine(tmp_path, [encoded(random.integers(0, 256, (150, 90, 3), dtype=np.uint8)) for _ in range(10)])
    assert verdicts(found)["background"] == verdicts(found)["likeness"] == "warning"
    assert found["figures"]["num_novel"] >= 2


def test_negated_images_of_the_networks_size_are_noticed(tmp_path: Path) -> None:
    images = load_split("test")[0][:20]
    assert verdicts(examine(tmp_path, [encoded(image, mode="L") for image in images]))["polarity as stored"] == "ok"
    found = examine(tmp_path, [encoded(255 - image, mode="L") for image in images])
    assert verdicts(found)["polarity as stored"] == "warning"


def test_a_sample_is_of_the_size_that_was_asked_for(tmp_path: Path) -> None:
    done = doctor(sample_catalogue_path(), "--rows", "60", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "60 of 1,000 rows" in done.stdout
    assert "Report: " in done.stdout


@pytest.mark.parametrize("rows", ["0", "10001"])
def test_what_makes_no_sense_is_refused(rows: str, tmp_path: Path) -> None:
    assert doctor(sample_catalogue_path(), "--rows", rows, "--out", tmp_path).exit_code == 2
    pq.write_table(pa.table({"image": [b"none"]}), tmp_path / "broken.parquet")
    broken = doctor(tmp_path / "broken.parquet", "--out", tmp_path)
    assert broken.exit_code == 2
    assert "unsupported_format" in broken.stderr
