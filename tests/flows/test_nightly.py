"""Nights without Ray: in any order, twice, with too many rejects, and told to a webhook."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fmnist_ray import open_results
from fmnist_ray.catalogue.nights import NEWEST, Night, newest_night, publish_night, read_night
from fmnist_ray.cli.app import app
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.nightly import NightlySettings, parse_date
from fmnist_ray.errors import CatalogueError, IncompleteError, OutputTakenError, RejectBudgetError, SettingError
from fmnist_ray.flows.nightly import NightSummary, nightly
from fmnist_ray.store.memory import MemoryStore

DAY = datetime.date(2026, 11, 20)
NEXT = DAY + datetime.timedelta(days=1)
Start = Callable[..., NightSummary]


@pytest.fixture
def shop(tmp_path: Path, pngs: list[bytes]) -> Callable[..., None]:
    """Puts the catalogue of a date there: `rows` images, `broken` more cells that are none."""

    def put(date: datetime.date, *, rows: int, broken: int = 0) -> None:
        folder = tmp_path / "shop" / str(date)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": [*pngs[:rows], *[b"no image"] * broken]}), folder / "part.parquet")

    return put


@pytest.fixture
def start(tmp_path: Path, tiny_bundle: Path, in_process: Any) -> Start:
    def run(date: datetime.date, **options: Any) -> NightSummary:
        template = ClassifySettings(
            catalogue_uri=str(tmp_path / "shop" / "{date}"), out_uri="", bundle=str(tiny_bundle), **options
        )
        settings = NightlySettings(root_uri=str(tmp_path / "nights"), date=date, run=template)
        return nightly(settings, lambda: nullcontext(in_process()))

    return run


def test_readers_get_the_newest_night_in_whatever_order_nights_end(
    shop: Callable[..., None], start: Start, tmp_path: Path
) -> None:
    root = tmp_path / "nights"
    shop(DAY, rows=10)
    shop(NEXT, rows=20)
    newer = start(NEXT)
    assert (newer.newest_date, newer.previous_date) == (str(NEXT), None)
    pointer = (root / NEWEST).read_bytes()

    late = start(DAY)
    assert (late.date, late.newest_date, late.run.num_rows) == (str(DAY), str(NEXT), 10)
    assert (root / NEWEST).read_bytes() == pointer
    assert len(open_results(str(root)).predictions()) == 20
    assert len(open_results(str(root / str(DAY))).predictions()) == 10

    twice = start(NEXT)
    assert (twice.previous_date, twice.run.num_shards_resumed) == (str(DAY), twice.run.num_shards)
    assert twice.run.plan_id == newer.run.plan_id
    assert len(open_results(str(root)).predictions()) == 20


def test_a_night_with_too_many_rejects_is_not_published_until_they_are_accepted(
    shop: Callable[..., None], start: Start, tmp_path: Path
) -> None:
    shop(DAY, rows=30)
    start(DAY)
    shop(NEXT, rows=8, broken=21)
    with pytest.raises(RejectBudgetError):
        start(NEXT)
    assert len(open_results(str(tmp_path / "nights")).predictions()) == 30
    assert start(NEXT, accept_rejects=True).newest_date == str(NEXT)
    assert len(open_results(str(tmp_path / "nights")).predictions()) == 8


def test_a_night_carries_over_what_the_night_before_has_classified_and_keeps_that_choice(
    shop: Callable[..., None], start: Start
) -> None:
    shop(DAY, rows=10)
    start(DAY)
    last = NEXT + datetime.timedelta(days=1)
    shop(last, rows=15)
    assert start(last).run.num_carried == 10

    shop(NEXT, rows=12)
    assert start(NEXT).newest_date == str(last)
    again = start(last)
    assert (again.previous_date, again.run.num_carried) == (str(NEXT), 10)


def test_a_catalogue_that_changed_after_its_night_needs_replace(shop: Callable[..., None], start: Start) -> None:
    shop(DAY, rows=10)
    first = start(DAY)
    shop(DAY, rows=12)
    with pytest.raises(OutputTakenError):
        start(DAY)
    again = start(DAY, replace=True)
    assert again.run.num_rows == 12
    assert again.run.plan_id != first.run.plan_id


def test_without_its_catalogue_a_night_is_wrong_input_and_nothing_is_published(start: Start, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        start(DAY)
    with pytest.raises(IncompleteError):
        open_results(str(tmp_path / "nights"))


def test_publishers_at_the_same_time_leave_the_pointer_at_the_newest() -> None:
    """The older night's pointer is written after the newer night's: the newer publisher has looked before that."""

    class Slow(MemoryStore):
        other: Night | None = None

        def put(self, key: str, data: bytes) -> None:
            if key == NEWEST and self.other is not None:
                night, self.other = self.other, None
                publish_night(self, night)
            super().put(key, data)

    def night(date: str) -> Night:
        return Night(
            date=date, plan_id=date, bundle_digest="b", num_rows=1, num_predictions=1, num_rejects=0, published_at="now"
        )

    store = Slow()
    store.other = night("2026-11-21")
    assert publish_night(store, night("2026-11-20")) == night("2026-11-21") == newest_night(store)
    assert newest_night(store, before="2026-11-21") == read_night(store, "2026-11-20")


def test_what_is_promised_of_a_night_is_checked_as_for_any_run(tmp_path: Path) -> None:
    command = ["nightly", str(tmp_path / "{date}"), "--root", str(tmp_path / "nights")]
    for options, complaint in (
        (["--per-class"], "--per-class says where --min-precision holds"),
        (["--min-precision", "1.5"], "--min-precision is 1.5; it must be between 0 and 1"),
        (["--alarm-rate", "0"], "--alarm-rate is 0"),
    ):
        done = CliRunner().invoke(app, [*command, *options])
        assert done.exit_code == 2
        assert complaint in done.stderr


def test_dates_are_today_yesterday_or_written_out() -> None:
    assert parse_date(None, today=NEXT) == parse_date("today", today=NEXT) == NEXT
    assert parse_date("yesterday", today=NEXT) == parse_date("2026-11-20", today=NEXT) == DAY
    with pytest.raises(SettingError, match="--date is 20.11"):
        parse_date("20.11.", today=NEXT)


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server, and what was posted to it."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(302 if self.path == "/moved" else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()
        thread.join(10)


def test_a_failed_night_is_told_to_the_webhook_and_its_address_to_nobody(
    webhook: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    url, posted = webhook
    command = ["nightly", str(tmp_path / "{date}"), "--root", str(tmp_path / "nights"), "--date", str(DAY), "--json"]
    done = CliRunner().invoke(app, command, env={"FMNIST_RAY_WEBHOOK": f"{url}/secret"})
    assert done.exit_code == 2
    assert posted[0]["exit_code"] == 2
    assert posted[0]["text"].startswith(f"Night {DAY} of {tmp_path / 'nights'} failed: No catalogue at")
    assert "secret" not in done.output + json.dumps(posted)

    moved = CliRunner().invoke(app, command, env={"FMNIST_RAY_WEBHOOK": f"{url}/moved"})
    assert (moved.exit_code, len(posted)) == (2, 2)
    assert "warning: The webhook of 127.0.0.1 did not take the message (HTTP Error 302" in moved.stderr
