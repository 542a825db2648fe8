"""The page in a real browser: nothing is fetched, nothing complains, nothing sticks out at any width."""

from __future__ import annotations

import contextlib
import functools
import html
import http.server
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import CHROMIUM

from fmnist_ray.reports.run_page import RunReport

FLAGS = (*chromium.FLAGS, "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom")
WIDTHS = (360, 390, 768, 1280)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

HARNESS = """<!doctype html><link rel="icon" href="data:,"><body><pre id="found"></pre><script>
const found = [];
async function measure(width) {
  const frame = document.createElement("iframe");
  frame.style = `border:0;width:${width}px;height:900px`;
  frame.src = "page.html";
  document.body.append(frame);
  await new Promise(resolve => frame.onload = resolve);
  const page = frame.contentDocument, inside = frame.contentWindow;
  const clipped = element => element.closest(".scroll, .meter, .split, .steps, .sheet b");
  const sticking = [...page.querySelectorAll("body *")].filter(element =>
    !clipped(element) && element.getBoundingClientRect().right > width + 1);
  const cut = [...page.querySelectorAll("h1, h2, h3, dd, dt, p, nav, .sheet-head")].filter(element =>
    element.scrollWidth > element.clientWidth + 1);
  found.push({
    width: width,
    page_width: page.documentElement.scrollWidth,
    sticking: sticking.map(element => element.outerHTML.slice(0, 120)),
    cut: cut.map(element => element.outerHTML.slice(0, 120)),
    pictures: [...page.images].filter(image => image.naturalWidth > 0).length,
    broken: [...page.images].filter(image => image.naturalWidth == 0).length,
    fetched: inside.performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith("data:")),
    background: inside.getComputedStyle(page.body).backgroundColor,
    ink: inside.getComputedStyle(page.body).color,
  });
  frame.remove();
}
(async () => {
  for (const width of WIDTHS) await measure(width);
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    requests: list[str]

    def __init__(self, *args: Any, requests: list[str], **kwargs: Any) -> None:
        self.requests = requests
        super().__init__(*args, **kwargs)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.requests.append(self.path)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of `folder` on this machine, and the paths that were asked for."""
    requests: list[str] = []
    handler = functools.partial(_Quiet, directory=str(folder), requests=requests)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def browse(url: str, profile: Path, *, dark: bool) -> tuple[str, str]:
    """The document at `url` after its script ran, and what the browser logged."""
    command = [
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={profile}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        url,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        document, log = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return document, log


def looked_at(page: bytes, folder: Path, *, dark: bool = False) -> list[dict[str, Any]]:
    """What the browser measured of the page at each of `WIDTHS`."""
    (folder / "page.html").write_bytes(page)
    (folder / "harness.html").write_text(HARNESS.replace("WIDTHS", json.dumps(WIDTHS)))
    with served(folder) as (address, requests):
        document, log = browse(f"{address}/harness.html", folder / "profile", dark=dark)
    assert set(requests) == {"/harness.html", "/page.html"}
    assert not re.findall(r".*CONSOLE.*", log)
    match = re.search(r'<pre id="found">(.+?)</pre>', document)
    assert match, log
    measured: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    return measured


def check(measured: list[dict[str, Any]]) -> None:
    assert [entry["width"] for entry in measured] == list(WIDTHS)
    for entry in measured:
        assert entry["page_width"] <= entry["width"], entry
        assert (entry["sticking"], entry["cut"], entry["broken"], entry["fetched"]) == ([], [], 0, []), entry


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_ordinary_page(report_of: Callable[..., RunReport], tmp_path: Path, dark: bool) -> None:
    measured = looked_at(report_of().to_html(), tmp_path, dark=dark)
    check(measured)
    assert measured[0]["pictures"] > 50
    assert (_brightness(measured[0]["background"]) < _brightness(measured[0]["ink"])) == dark


KINDS = (
    *("evaluation", "drift", "explanation", "review", "svm"),
    *("bundle diff", "similar", "duplicates", "comparison", "description"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page(page_of: Callable[..., bytes], tmp_path: Path, kind: str) -> None:
    check(looked_at(page_of(kind), tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_with_hostile_text(
    page_of: Callable[..., bytes], tmp_path: Path, kind: str, hostile: str
) -> None:
    labels = tuple(f"{hostile if number % 2 else 'y' * 1_000}{number}" for number in range(10))
    page = page_of(kind, text=hostile * 20, labels=labels)
    assert b"<script" not in page
    assert b"<img src=x" not in page
    check(looked_at(page, tmp_path, dark=True))


def test_a_page_of_hostile_text(report_of: Callable[..., RunReport], tmp_path: Path, hostile: str) -> None:
    labels = tuple(f"{hostile if number % 2 else 'y' * 10_000}{number}" for number in range(10))
    check(looked_at(report_of(text=hostile * 100, labels=labels).to_html(), tmp_path))


@pytest.mark.parametrize(
    "flaw",
    [
        '<img src="http://127.0.0.1:9/pixel.png" alt="">',
        '<div style="width:1300px">wide</div>',
        '<h2 style="width:20px;white-space:nowrap">overflowing</h2>',
    ],
)
def test_a_flaw_would_be_seen(report_of: Callable[..., RunReport], tmp_path: Path, flaw: str) -> None:
    page = report_of().to_html().replace(b"</main>", flaw.encode() + b"</main>")
    with pytest.raises(AssertionError):
        check(looked_at(page, tmp_path))


def _brightness(color: str) -> float:
    return sum(float(part) for part in re.findall(r"[\d.]+", color)[:3])
