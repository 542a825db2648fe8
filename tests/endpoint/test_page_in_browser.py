"""The page as people use it, in a real browser: files, samples, answers, at any width, and by keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM
from PIL import Image

from fmnist_ray.config.decisions import Promises
from fmnist_ray.endpoint.keys import add_key, read_keys
from fmnist_ray.images.encode import encode_png
from fmnist_ray.schema import DECISION_COLUMNS, HEAD_COLUMNS
from tests.endpoint.browser import Page, open_browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

STICKING = """[...document.querySelectorAll('body *')].filter(element => !element.closest('.scroll, #drop input') &&
  element.getBoundingClientRect().right > innerWidth + 1).map(element => element.outerHTML.slice(0, 100))"""
WIDTHS = (360, 390, 768, 1280)
SCREENSHOTS = os.environ.get("FMNIST_RAY_SCREENSHOTS")
"""A folder for pictures of the page, for eyes."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def photos(tmp_path: Path, sample: list[bytes]) -> list[Path]:
    """Two images, one that is none, and one whose name wants to be markup and a formula."""
    names = ["boot.png", "pullover.png", "none.png", "=1+1<img src=x onerror=alert(1)>.png"]
    paths = [tmp_path / name for name in names]
    for path, data in zip(paths, [sample[0], sample[1], b"no image", sample[2]], strict=True):
        path.write_bytes(data)
    return paths


def cells(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(
        "[...document.querySelectorAll('#rows tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def look(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(Path(SCREENSHOTS) / f"{name}.png")


def test_files_get_answers_a_table_and_a_csv(page: Page, url: str, photos: list[Path]) -> None:
    page.complaints.clear()
    page.requests.clear()
    page.open(url)
    assert "10 classes by fashion_resnet" in page.until(
        "document.getElementById('model').textContent.includes('classes') && "
        "document.getElementById('model').textContent"
    )
    page.choose_files("#files", photos)
    page.until("document.querySelectorAll('#rows tr').length === 4")
    boot, pullover, none, odd = cells(page)
    assert (boot[0], boot[1], pullover[1]) == ("boot.png", "Ankle boot", "Pullover")
    assert boot[2].endswith("%")
    assert none[1:3] == ["", ""]
    assert none[4].startswith("unsupported_format: starts with")
    assert (odd[0], odd[1]) == (photos[3].name, "Trouser")
    assert page.evaluate("document.querySelectorAll('.card').length") == 4
    assert page.evaluate("document.querySelector('.card:first-child progress').value") > 0.9
    assert "4 photos in" in page.evaluate("document.getElementById('status').textContent")
    look(page, "desktop")
    lines = page.evaluate("csv()").split("\r\n")
    names = [name.strip('"') for name in lines[0].split(",")]
    assert names[:3] == ["name", "label", "confidence"]
    assert set(names) >= {*HEAD_COLUMNS, *DECISION_COLUMNS, "reason", "detail", "bundle_digest"}
    assert lines[1].startswith('"boot.png","Ankle boot","0.99')
    assert lines[4].startswith("\"'=1+1<img"), "no spreadsheet runs it"
    page.evaluate("document.getElementById('clear').click()")
    assert cells(page) == []
    asked = {request for request in page.requests if not request.startswith(("data:", "blob:"))}
    assert all(request.startswith(url) for request in asked)
    assert page.complaints == []


def test_decisions_and_doubts_are_shown(page: Page, serve: Any, tmp_path: Path, sample: list[bytes]) -> None:
    noise = encode_png(np.random.default_rng(5).integers(0, 256, (28, 28), dtype=np.uint8))
    images = {"noise.png": noise, "blank.png": encode_png(np.full((28, 28), 80, np.uint8)), "boot.png": sample[0]}
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
    with serve(promises=Promises(min_precision=0.98)) as url:
        page.open(url)
        page.until("alarmRate > 0")
        page.choose_files("#files", [tmp_path / name for name in images])
        page.until("document.querySelectorAll('#rows tr').length === 3")
        assert [row[3] for row in cells(page)] == ["decline: novel", "decline: unusable photo", "accept: confident"]
        badges = "[...document.querySelectorAll('.decision')].map(each => each.textContent)"
        assert page.evaluate(badges) == [row[3] for row in cells(page)]
        noise_notes, blank_notes, boot_notes = page.evaluate(
            "[...document.querySelectorAll('.notes')].map(each => each.innerText)"
        )
        look(page, "decisions")
    assert "Unlike all classes" in noise_notes
    assert "The photo is blank." in blank_notes
    assert "Both heads agree" in boot_notes


def test_it_shows_where_it_looked(page: Page, url: str, photos: list[Path]) -> None:
    page.open(url)
    page.choose_files("#files", [photos[0], photos[2]])
    page.until("document.querySelectorAll('#rows tr').length === 2")
    button = "document.querySelector('.look')"
    page.until("document.querySelectorAll('.look').length === 1")  # what is no image has no picture
    assert not page.evaluate(f"{button}.hidden")
    width = "document.querySelector('.picture img').naturalWidth"
    assert page.until(width) == 28
    page.evaluate(f"{button}.click()")
    page.until(f"{button}.getAttribute('aria-pressed') === 'true' && {width} === 224")
    look(page, "overlay")
    page.evaluate(f"{button}.click()")
    page.until(f"{button}.getAttribute('aria-pressed') === 'false' && {width} === 28")


def test_a_sample_by_keyboard_alone(page: Page, url: str) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#samples img').length === 10")
    focused = "document.activeElement"
    page.press("Tab", code=9)
    assert page.evaluate(f"{focused}.id") == "files"
    page.press("Tab", code=9)
    assert page.evaluate(f"{focused}.title") == "Sample 1"
    page.press("Enter", code=13, text="\r")
    page.until("document.querySelectorAll('#rows tr').length === 1")
    assert cells(page)[0][:2] == ["sample-1.png", "T-shirt/top"]


def test_dropped_and_pasted_photos(page: Page, url: str) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#samples img').length === 10")
    for kind, event in (("drop", "DragEvent"), ("paste", "ClipboardEvent")):
        field = "dataTransfer" if kind == "drop" else "clipboardData"
        page.evaluate(
            f"""(async () => {{
              const blob = await (await fetch('/page/samples/7')).blob();
              const data = new DataTransfer();
              data.items.add(new File([blob], '{kind}.png', {{type: 'image/png'}}));
              document.dispatchEvent(new {event}('{kind}', {{{field}: data, bubbles: true, cancelable: true}}));
            }})()"""
        )
    page.until("document.querySelectorAll('#rows tr').length === 2")
    assert [row[:2] for row in cells(page)] == [["drop.png", "Sneaker"], ["paste.png", "Sneaker"]]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out(page: Page, url: str, photos: list[Path], width: int) -> None:
    page.open(url, width=width, phone=width < 700)
    page.choose_files("#files", [*photos, *photos])
    page.until("document.querySelectorAll('#rows tr').length === 8")
    look(page, f"width-{width}")
    assert page.evaluate(STICKING) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small: list[Any] = page.evaluate(
        "[...document.querySelectorAll('button')].map(each => each.getBoundingClientRect())"
        ".filter(box => box.height && box.height < 44).map(box => box.height)"
    )
    assert small == [], "a finger needs 44 pixels"


def test_a_key_is_asked_for_and_kept_for_this_tab(page: Page, serve: Any, tmp_path: Path) -> None:
    key = add_key(str(tmp_path / "keys"), "shop", "classify")
    with serve(keys=read_keys(str(tmp_path / "keys"))) as url:
        page.open(url)
        page.until("!document.getElementById('key-form').hidden")
        look(page, "key")
        page.evaluate(f"document.getElementById('key').value = '{key}'")
        page.evaluate("document.querySelector('#key-form button').click()")
        page.until("document.getElementById('key-form').hidden")
        page.until("document.querySelectorAll('#samples img').length === 10")
        page.evaluate("document.querySelector('#samples button').click()")
        page.until("document.querySelectorAll('#rows tr').length === 1")
        page.open(url)
        page.until("document.querySelectorAll('#samples img').length === 10")
        assert page.evaluate("document.getElementById('key-form').hidden")
        assert page.evaluate("localStorage.length") == 0


def test_an_endpoint_that_is_gone_is_said(page: Page, serve: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("L", (28, 28)).save(photo)
    with serve() as url:
        page.open(url)
        page.until("document.getElementById('model').textContent.includes('classes')")
    page.choose_files("#files", [photo])
    page.until("document.querySelector('#status.bad') !== null")
    assert "can't be reached" in page.evaluate("document.getElementById('status').textContent")
