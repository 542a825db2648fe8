"""The rows of a night that its drift report shows: samples, photos with an alarm, and contradicted categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fmnist_ray.catalogue.plan import Plan
from fmnist_ray.catalogue.results import Results
from fmnist_ray.catalogue.row_images import read_chosen
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import FmnistRayError
from fmnist_ray.images.thumbnail import thumbnail
from fmnist_ray.labels import Labels
from fmnist_ray.reports.drift import NightVerdict
from fmnist_ray.reports.drift_page import Pictures
from fmnist_ray.reports.gallery import Example, Gallery, embedded_picture
from fmnist_ray.schema import IDENTITY_COLUMNS
from fmnist_ray.store import open_store

_NUM_PHOTOS = 10
_NUM_CONTRADICTIONS = 24
_COLUMNS = [*IDENTITY_COLUMNS, "label", "confidence", "novelty", "photo_problem"]


def drift_pictures(tonight: Results, verdict: NightVerdict, labels: Labels) -> Pictures:
    """What to show of tonight. Images are read again only where photos have raised the alarm, and only a few."""
    causes = [change.name for kind in verdict.alarms if kind.kind == "photos" for change in kind.causes]
    contradictions = tonight.contradictions()
    return Pictures(
        gallery=Gallery(tonight.samples(), labels),
        photos={name: _photos(tonight, name) for name in causes},
        contradictions=[
            _example(row, true_label=row["category"], png=row["thumbnail"])
            for row in contradictions.slice(0, _NUM_CONTRADICTIONS).to_pylist()
        ],
        num_contradictions=len(contradictions),
    )


def _photos(tonight: Results, alarm: str) -> list[Example]:
    """The first photos of a night with an alarm, read from its catalogue if that is still there."""
    rows: list[dict[str, Any]] = []
    for data in tonight.contents("predictions"):
        table = pq.read_table(pa.BufferReader(data), columns=_COLUMNS)
        if alarm == "novel":
            limit = pa.scalar(tonight.commit.facts["promises"]["alarm_rate"], pa.float32())
            chosen = pc.less_equal(table.column("novelty"), limit)
        else:
            chosen = pc.equal(table.column("photo_problem"), alarm)
        rows += table.filter(chosen).slice(0, _NUM_PHOTOS - len(rows)).to_pylist()
        if len(rows) == _NUM_PHOTOS:
            break
    pictures = _thumbnails(tonight, [(row["input_file"], row["input_row"]) for row in rows])
    return [_example(row, true_label=None, png=png) for row, png in zip(rows, pictures, strict=True)]


def _thumbnails(tonight: Results, places: Sequence[tuple[str, int]]) -> list[bytes | None]:
    plan = Plan.from_json(open_store(tonight.uri).get(f"plan/{tonight.commit.plan_id}.json"))
    try:
        images = read_chosen(plan, places)
    except FmnistRayError:  # the catalogue went or changed since: the report does without its pictures
        return [None] * len(places)
    limits = ImageLimits()
    return [None if image is None else thumbnail(image, limits) for image in images]


def _example(row: dict[str, Any], *, true_label: str | None, png: bytes | None) -> Example:
    return Example(
        **{name: row[name] for name in IDENTITY_COLUMNS},
        label=row["label"],
        confidence=row["confidence"],
        true_label=true_label,
        reason=None,
        detail=None,
        picture=embedded_picture(png),
    )
