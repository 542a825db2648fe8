"""A run's report: the numbers are right, the page says no other, and nothing foreign becomes part of it."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from fmnist_ray.reports import formats
from fmnist_ray.reports.gallery import Gallery
from fmnist_ray.reports.run_page import RunFacts, RunReport
from fmnist_ray.schema import SAMPLES, Reason

Make = Callable[..., RunReport]

PNG_HEADER = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 28, 28)
VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """The elements of a page in order, and the text outside its style, axes and digests."""

    def __init__(self, report: RunReport) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.source = report.to_html().decode()
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(name, value or "") for name, value in attrs]
        classes = (dict(attrs).get("class") or "").split()
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            quiet = tag == "style" or "axis" in classes or "mono" in classes
            self._open.append((tag, quiet or (bool(self._open) and self._open[-1][1])))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and not self._open[-1][1]:
            self.text.append(data)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?", text))


def written(value: Any) -> Iterator[str]:
    """Every way in which the page could write a value of the JSON."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from written(inner)
    elif isinstance(value, str):
        yield value
        yield formats.moment(value)
    elif isinstance(value, int | float):
        yield from (formats.count(round(value)), formats.score(value), formats.edge(value), formats.size(round(value)))
        yield from (formats.percent(value, digits) for digits in (0, 1, 2))
        yield from (formats.duration(value), formats.milliseconds(value))


@pytest.mark.parametrize("options", [{}, {"labelled": False}, {"rejects": ()}, {"num_predictions": 0, "rejects": ()}])
def test_every_number_on_the_page_is_in_the_json(report_of: Make, options: dict[str, Any]) -> None:
    report = report_of(**options)
    allowed = {number for text in written(json.loads(report.to_json())) for number in numbers(text)}
    shown = numbers(" ".join(Page(report).text))
    assert shown - allowed == set()
    assert len(shown) > (100 if options == {} else 4)


def test_the_json_holds_the_run(report_of: Make, facts: RunFacts) -> None:
    content = json.loads(report_of().to_json(), parse_constant=pytest.fail)
    assert content["run"] == dataclasses.asdict(facts)
    assert (content["num_rows"], content["num_predictions"], content["num_rejects"]) == (1_245, 1_234, 11)
    assert [(entry["reason"], entry["num_rejects"]) for entry in content["rejects"]] == [("truncated", 7), ("empty", 4)]
    assert content["rejects"][0]["examples"][0].keys() >= {"product_id", "input_file", "input_row", "detail"}
    assert sum(entry["num_predictions"] for entry in content["classes"]) == 1_234
    assert sum(content["confidence"]["num_predictions"]) == 1_234
    assert sum(band["num_predictions"] for band in content["confidence"]["bands"]) == 1_234
    assert sum(content["brightness"]["num_images"]) == 1_234
    evaluation = content["evaluation"]
    assert sum(map(sum, evaluation["confusion"])) == evaluation["num_labelled"] == 1_234
    assert evaluation["num_correct"] + sum(content["confidence"]["num_wrong"]) == 1_234
    assert evaluation["accuracy_low"] < evaluation["accuracy"] < evaluation["accuracy_high"]
    assert content["time"]["worker_s"] == pytest.approx(2.9453)
    assert content["time"]["ms_per_row"] == pytest.approx(2.9453 / 1.245)


def test_worst_pairs_show_rows_of_that_pair(report_of: Make) -> None:
    pairs = report_of(num_predictions=3_000).content["evaluation"]["worst_pairs"]
    assert [pair["num_rows"] for pair in pairs] == sorted((pair["num_rows"] for pair in pairs), reverse=True)
    shown = [(pair, example) for pair in pairs for example in pair["examples"]]
    assert shown
    assert all((example.true_label, example.label) == (pair["true_label"], pair["label"]) for pair, example in shown)


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({}, "1,245 rows: 1,234 classified, 11 rejected"),
        ({"rejects": ()}, "1,234 rows, all classified"),
        ({"num_predictions": 1, "rejects": ()}, "1 row, all classified"),
        ({"num_predictions": 0}, "11 rows, all rejected"),
        ({"num_predictions": 0, "rejects": ()}, "No rows: the catalogue is empty"),
    ],
)
def test_the_headline_says_how_it_ended(report_of: Make, options: dict[str, Any], verdict: str) -> None:
    report = report_of(**options)
    assert report.content["verdict"] == verdict
    assert f"<h1>{verdict}</h1>" in report.to_html().decode()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labelled": False}, "The catalogue has no labels"),
        ({"rejects": ()}, "None. Every row has a prediction."),
        ({"num_predictions": 0}, "There are no predictions."),
        ({"num_pictured": 0}, "No pictures were kept."),
        ({"labels": tuple(f"class {number}" for number in range(60))}, "The most frequent of 60 classes"),
    ],
)
def test_what_is_missing_is_said(report_of: Make, options: dict[str, Any], sentence: str) -> None:
    assert sentence in " ".join(Page(report_of(**options)).text)


def test_foreign_text_stays_text(report_of: Make, hostile: str, facts: RunFacts) -> None:
    tame_labels = tuple(f"name {number}" for number in range(10))
    tame = Page(report_of(text="name ", labels=tame_labels, facts=dataclasses.replace(facts, previous_plan_id="plan")))
    every_string = {
        field.name: hostile for field in dataclasses.fields(RunFacts) if field.type in ("str", "str | None")
    }
    wild = Page(
        report_of(
            text=hostile,
            labels=tuple(f"{hostile}{number}" for number in range(10)),
            facts=dataclasses.replace(facts, **every_string),
        )
    )
    assert wild.elements == tame.elements
    assert "<script" not in wild.source
    assert "{{ 7 * 7 }}" in wild.source
    assert not re.search("[\0\u202a-\u202e\u2066-\u2069]", wild.source)
    assert "<script>alert(1)</script>" in " ".join(wild.text)


def test_very_long_text_is_cut(report_of: Make) -> None:
    report = report_of(text="x" * 10_000, labels=tuple(f"{'y' * 10_000}{number}" for number in range(10)))
    longest = max(len(text) for text in Page(report).text)
    assert longest < 250
    assert len(report.to_html()) < 1_500_000


def test_nothing_is_loaded_from_elsewhere(report_of: Make) -> None:
    page = Page(report_of())
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "iframe", "object", "embed", "form", "base"})
    places = [value for name, value in page.attributes if name in ("src", "href", "action", "srcset", "background")]
    assert places
    assert all(place.startswith(("data:image/png;base64,", "#")) or place == "data:," for place in places)
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes
    assert not [name for name, _ in page.attributes if name.startswith("on")]


@pytest.mark.parametrize("side", [28, 128])
def test_a_page_of_large_thumbnails_stays_small(report_of: Make, side: int) -> None:
    labels = tuple(f"class {number}" for number in range(20))
    report = report_of(num_predictions=2_000, side=side, num_pictured=1_000, labels=labels)
    assert len(report.to_html()) < 2_600_000
    assert all(entry["examples"] for entry in report.content["classes"])


def test_pictures_are_sharp_only_where_they_are_tiny(report_of: Make) -> None:
    assert 'class="picture tiny"' in report_of(side=28).to_html().decode()
    assert 'class="picture tiny"' not in report_of(side=96).to_html().decode()


def gallery_of(thumbnails: list[bytes]) -> Gallery:
    rows = [
        {"input_file": "a", "input_row": row, "label_id": 0, "thumbnail": thumbnail, "order": row * 7 % 50}
        for row, thumbnail in enumerate(thumbnails)
    ]
    return Gallery(pa.Table.from_pylist(rows, SAMPLES), ("only",))


def test_examples_are_those_of_lowest_order() -> None:
    """Shards may come in any order: the choice depends on `order` alone."""
    chosen = gallery_of([PNG_HEADER] * 50).by_label(["only"])[0]
    assert [example.input_row * 7 % 50 for example in chosen] == list(range(10))


@pytest.mark.parametrize(
    "thumbnail", [b"", b"GIF89a" + b"\0" * 40, b"<svg onload=alert(1)>" + b" " * 40, PNG_HEADER[:20]]
)
def test_only_png_pictures_are_embedded(thumbnail: bytes) -> None:
    assert gallery_of([thumbnail]).by_label(["only"]) == [[]]


def test_every_reason_is_explained(report_of: Make) -> None:
    page = " ".join(Page(report_of(rejects=tuple(Reason))).text)
    for reason in Reason:
        assert reason.replace("_", " ") in page
    assert page.count("of all rows.") == len(Reason)
