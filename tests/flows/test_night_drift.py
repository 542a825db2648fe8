"""Nights judged as they are published: by the shipped bundle, on shipped images, without Ray."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmnist_ray import open_results
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.images import ImageLimits, Preparation
from fmnist_ray.config.nightly import NightlySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import RefusedError
from fmnist_ray.flows.nightly import NightSummary, nightly
from fmnist_ray.images.corruptions import corrupt
from fmnist_ray.images.encode import encode_png
from fmnist_ray.images.prepare import prepare_batch
from fmnist_ray.labels import FASHION_MNIST

DAYS = [datetime.date(2026, 11, day) for day in (20, 21, 22)]
BLANK = encode_png(np.full((28, 28), 250, np.uint8))


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., None]:
    """Puts the catalogue of a date there: the rows `start::3` of the sample, changed as asked."""
    table = pq.read_table(sample_catalogue_path())

    def put(
        date: datetime.date,
        start: int,
        *,
        rows: int = 334,
        inverse: bool = False,
        blank: int = 0,
        swapped: int = 0,
    ) -> None:
        part = table.take(list(range(start, len(table), 3))[:rows])
        images, labels = part["image"].to_pylist(), part["label"].to_pylist()
        if inverse:
            pixels = prepare_batch(images, Preparation(), ImageLimits()).pixels
            images = [encode_png(np.asarray(image[0])) for image in corrupt(pixels, "inverse", 1)]
        images[:blank] = [BLANK] * blank
        names = [FASHION_MNIST[label] for label in labels]
        trousers = [row for row, name in enumerate(names) if name == "Trouser"][:swapped]
        for row in trousers:
            names[row] = "Bag"
        columns = {"product_id": part["product_id"], "image": pa.array(images, pa.binary()), "label": names}
        (tmp_path / "shop").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "shop" / f"{date}.parquet")

    return put


@pytest.fixture
def start(tmp_path: Path, in_process: Any) -> Callable[..., NightSummary]:
    def run(date: datetime.date, **options: Any) -> NightSummary:
        template = ClassifySettings(catalogue_uri=str(tmp_path / "shop" / "{date}.parquet"), out_uri="")
        settings = NightlySettings(root_uri=str(tmp_path / "nights"), date=date, run=template, **options)
        return nightly(settings, lambda: nullcontext(in_process()))

    return run


def report(summary: NightSummary) -> dict[str, Any]:
    assert summary.drift_uri is not None
    found: dict[str, Any] = json.loads(Path(summary.drift_uri).with_name("drift.json").read_text())
    return found


def test_each_night_is_judged_against_the_published_ones_before(
    shop: Callable[..., None], start: Callable[..., NightSummary], tmp_path: Path
) -> None:
    for number, day in enumerate(DAYS):
        shop(day, number)
    first, second, third = (start(day) for day in DAYS)
    assert (first.drift_uri, first.alarms) == (None, ())
    assert (second.verdict, third.verdict) == ("Tonight is like the nights before",) * 2
    content = report(third)
    assert [night["name"] for night in content["nights"]] == [str(day) for day in DAYS]
    assert content["num_rows_before"] == 667
    again = start(DAYS[2])
    assert report(again)["nights"] == content["nights"]
    late = start(DAYS[1], reference_uri=str(tmp_path / "nights" / str(DAYS[2])))
    assert [night["name"] for night in report(late)["nights"]] == [str(DAYS[place]) for place in (2, 0, 1)]
    for link in report(third)["links"]:
        assert (Path(str(third.drift_uri)).parent / link["href"]).is_file()
    page = Path(str(third.drift_uri)).read_text()
    assert "<script" not in page
    assert len(page) < 3_000_000


def test_a_night_with_an_alarm_is_held_back_by_the_gate_and_never_becomes_normal(
    shop: Callable[..., None], start: Callable[..., NightSummary], tmp_path: Path
) -> None:
    shop(DAYS[0], 0)
    shop(DAYS[1], 1, inverse=True)
    shop(DAYS[2], 2)
    start(DAYS[0])
    with pytest.raises(RefusedError, match="is classified but not published. Alarm: tonight differs in .*brightness"):
        start(DAYS[1], gate=True)
    assert open_results(str(tmp_path / "nights")).uri.endswith(str(DAYS[0]))
    assert start(DAYS[1]).alarms
    assert start(DAYS[1], gate=True).newest_date == str(DAYS[1])  # published by now: there is nothing to hold back
    after = start(DAYS[2], gate=True)
    assert after.alarms == ()
    assert [night["state"] == "alarm" for night in report(after)["nights"]] == [False, True, False]
    assert report(after)["num_rows_before"] == 334


def test_blank_photos_are_named_and_shown(shop: Callable[..., None], start: Callable[..., NightSummary]) -> None:
    shop(DAYS[0], 0)
    shop(DAYS[1], 1, blank=30)
    start(DAYS[0])
    found = start(DAYS[1])
    assert any(sentence.startswith("photos that are blank: ") for sentence in found.alarms)
    (photos,) = (kind for kind in report(found)["kinds"] if kind["kind"] == "photos")
    (blank,) = (change for change in photos["shown"] if change["name"] == "blank")
    assert [example["input_row"] for example in blank["examples"]] == list(range(10))
    (kept,) = (change for change in photos["changes"] if change["name"] == "blank")
    assert kept["last"] < 0.01
    assert kept["tonight"] == pytest.approx(30 / 333)


def test_contradicted_categories_are_listed_the_surest_first(
    shop: Callable[..., None], start: Callable[..., NightSummary], tmp_path: Path
) -> None:
    shop(DAYS[0], 0)
    shop(DAYS[1], 1, swapped=20)
    start(DAYS[0])
    found = start(DAYS[1])
    table = open_results(str(tmp_path / "nights")).contradictions()
    planted = [row for row in table.to_pylist() if (row["category"], row["label"]) == ("Bag", "Trouser")]
    assert 15 <= len(planted) <= 20
    assert table["confidence"].to_pylist() == sorted(table["confidence"].to_pylist(), reverse=True)
    assert all(0.9 <= row["confidence"] <= 1 for row in planted)
    assert sum(row["thumbnail"] is not None for row in table.to_pylist()) == min(24, len(table))
    shown = report(found)["contradictions"]
    assert shown["num_rows"] == len(table)
    assert {"Bag"} <= {example["true_label"] for example in shown["examples"]}


def test_too_little_data_is_said(shop: Callable[..., None], start: Callable[..., NightSummary]) -> None:
    shop(DAYS[0], 0)
    shop(DAYS[1], 1, rows=40)
    start(DAYS[0])
    found = start(DAYS[1])
    assert found.verdict == "Too little data to say whether anything changed"
    assert "There are too few rows to judge: it takes 300" in Path(str(found.drift_uri)).read_text()
