"""Getting Fashion-MNIST: from a folder, the cache, a web server, a package; never a wrong file, never half of one."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fmnist_ray.datasets.fashion_mnist import cache_folder, fetch, load_split
from fmnist_ray.datasets.files import FILES, TEST_LABELS, find_file, read_file
from fmnist_ray.datasets.sources import DebianPackage, Folder, Mirror
from fmnist_ray.errors import SourceError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return cache_folder()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; a file named `*.slow` there comes half, and then nothing for a long time."""

    def do_GET(self) -> None:
        slow = Path(self.translate_path(self.path + ".slow"))
        if not slow.exists():
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(2 * slow.stat().st_size))
        self.end_headers()
        self.wfile.write(slow.read_bytes())
        self.wfile.flush()
        time.sleep(30)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a server that serves it."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def put_all(fashion_mnist: Path, folder: Path) -> None:
    for file in FILES:
        path = find_file(fashion_mnist, file)
        data = path.read_bytes()
        (folder / file.gz_name).write_bytes(data if path.suffix == ".gz" else gzip.compress(data, compresslevel=1))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


ALL_NAMES = {file.gz_name for file in FILES}


def test_a_named_folder_is_copied_into_the_cache_which_then_suffices(
    fashion_mnist: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    put_all(fashion_mnist, folder)
    (folder / TEST_LABELS.gz_name).unlink()
    (folder / TEST_LABELS.name).write_bytes(read_file(fashion_mnist, TEST_LABELS))

    fetched = fetch(folder)
    shutil.rmtree(folder)

    assert fetched.folder == cache
    assert fetched.source == str(folder)
    assert names(cache) == ALL_NAMES - {TEST_LABELS.gz_name} | {TEST_LABELS.name}
    assert fetch().source == f"the cache {cache}"
    images, labels = load_split("test")
    assert images.shape == (10_000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10
    assert labels[:8].tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    assert int(images.sum(dtype=np.int64)) == 573_469_082


def test_the_training_split(fashion_mnist: Path) -> None:
    images, labels = load_split("train", fashion_mnist)
    assert images.shape == (60_000, 28, 28)
    assert np.bincount(labels).tolist() == [6000] * 10
    assert images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other", "bomb"])
def test_a_damaged_file_is_refused_by_name(fashion_mnist: Path, cache: Path, tmp_path: Path, damage: str) -> None:
    put_all(fashion_mnist, tmp_path)
    path = tmp_path / TEST_LABELS.gz_name
    good = path.read_bytes()
    content = gzip.decompress(good)
    path.write_bytes(
        {
            "flip": gzip.compress(content[:-1] + bytes([content[-1] ^ 1])),
            "cut": good[:-100],
            "empty": b"",
            "other": b"<html>not found</html>",
            "bomb": gzip.compress(b"\0" * 100_000_000, compresslevel=1),
        }[damage]
    )
    with pytest.raises(SourceError, match="t10k-labels") as caught:
        fetch(tmp_path)
    if damage in ("flip", "bomb"):
        assert f"not {TEST_LABELS.md5}" in caught.value.message
        assert "md5" in caught.value.message
    assert not names(cache) & ALL_NAMES


def test_a_damaged_cache_is_mended_from_the_next_source(
    fashion_mnist: Path, cache: Path, web_folder: tuple[Path, str]
) -> None:
    folder, url = web_folder
    put_all(fashion_mnist, folder)
    cache.mkdir(parents=True)
    put_all(fashion_mnist, cache)
    (cache / TEST_LABELS.gz_name).write_bytes(b"\x1f\x8b rubbish")
    fetched = fetch(sources=[Folder("the cache", cache), Mirror(url)])
    assert fetched.source == url
    assert fetch().source == f"the cache {cache}"
    assert names(cache) == ALL_NAMES


def test_a_mirror_that_lacks_a_file_is_left_for_the_next(
    fashion_mnist: Path, cache: Path, web_folder: tuple[Path, str]
) -> None:
    folder, url = web_folder
    put_all(fashion_mnist, folder)
    fetched = fetch(sources=[Mirror(f"{url}/nowhere"), Mirror(url)])
    assert fetched.source == url
    assert fetched.folder == cache
    assert names(cache) == ALL_NAMES


def test_a_mirror_with_another_file_is_refused(fashion_mnist: Path, cache: Path, web_folder: tuple[Path, str]) -> None:
    folder, url = web_folder
    put_all(fashion_mnist, folder)
    shutil.copyfile(folder / "train-labels-idx1-ubyte.gz", folder / TEST_LABELS.gz_name)
    with pytest.raises(SourceError, match=f"not {TEST_LABELS.md5}"):
        fetch(sources=[Mirror(url)])
    assert not names(cache)


def test_every_source_that_failed_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sources = [
        Folder("the first place", tmp_path / "missing"),
        Folder("the second place", tmp_path),
        Mirror("http://127.0.0.1:9", timeout_s=1),
        DebianPackage(),
    ]
    with pytest.raises(SourceError) as caught:
        fetch(sources=sources)
    message = caught.value.message
    assert "- the first place: there is no such folder." in message
    assert f"- the second place: {tmp_path} has no t10k-labels-idx1-ubyte.gz." in message
    assert "- http://127.0.0.1:9: t10k-labels-idx1-ubyte.gz can't be downloaded (" in message
    assert "Connection refused" in message
    assert "- apt's package dataset-fashion-mnist: this machine has no apt-get." in message
    assert "fmnist-ray data fetch --from FOLDER" in message


def test_a_killed_download_leaves_nothing_wrong(fashion_mnist: Path, cache: Path, web_folder: tuple[Path, str]) -> None:
    folder, url = web_folder
    put_all(fashion_mnist, folder)
    last = FILES[-1].gz_name
    (folder / f"{last}.slow").write_bytes((folder / last).read_bytes()[:1_000_000])
    script = (
        "from fmnist_ray.datasets.fashion_mnist import fetch; from fmnist_ray.datasets.sources import Mirror; "
        f"fetch(sources=[Mirror({url!r})])"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 30
    while not list(cache.glob(f".incoming-*/{last}")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / f"{last}.slow").unlink()

    (left,) = names(cache)
    assert left.startswith(".incoming-")
    with pytest.raises(SourceError):
        fetch(sources=[Folder("the cache", cache)])
    os.utime(cache / left, (0, 0))
    fetch(sources=[Mirror(url)])
    assert names(cache) == ALL_NAMES


def test_a_cache_that_can_not_be_written(fashion_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with pytest.raises(SourceError, match="XDG_CACHE_HOME"):
        fetch(fashion_mnist)
    assert fetch(sources=[Folder("installed", fashion_mnist)]).folder == fashion_mnist


APT = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *update*) exit {update_code} ;;
  *Dir::State::Lists*download*) cp {package} . ;;
  *) echo "E: Unable to locate package dataset-fashion-mnist" >&2; exit 100 ;;
esac
"""


@pytest.fixture
def apt(tmp_path: Path, fashion_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for apt-get whose machine has empty package lists, and a real package; returns the stand-in's log."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    root = tmp_path / "root"
    data = root / "usr/share/datasets/fashion-mnist"
    data.mkdir(parents=True)
    put_all(fashion_mnist, data)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: d\n"
    )
    package = tmp_path / "dataset-fashion-mnist_1_all.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", str(root), str(package)], check=True, capture_output=True)
    log = tmp_path / "apt.log"
    write_apt(tmp_path / "bin", log, package, update_code=0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return log


def write_apt(folder: Path, log: Path, package: Path, *, update_code: int) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / "apt-get"
    script.write_text(APT.format(log=log, package=package, update_code=update_code))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_the_package_comes_with_own_lists_where_the_machine_has_none(apt: Path, cache: Path) -> None:
    fetched = fetch(sources=[DebianPackage()])
    assert fetched.source == "apt's package dataset-fashion-mnist"
    assert names(cache) == ALL_NAMES
    calls = apt.read_text().splitlines()
    assert [call.split()[-1] if "update" in call else "download" for call in calls] == [
        "download",
        "update",
        "download",
    ]
    assert "Dir::State::Lists" not in calls[0]


def test_the_package_can_not_be_had(apt: Path, tmp_path: Path, cache: Path) -> None:
    write_apt(tmp_path / "bin", apt, tmp_path / "missing.deb", update_code=0)
    with pytest.raises(SourceError, match="apt-get failed: cp: "):
        fetch(sources=[DebianPackage()])
    write_apt(tmp_path / "bin", apt, tmp_path / "missing.deb", update_code=100)
    with pytest.raises(SourceError, match="apt-get failed: exit code 100"):
        fetch(sources=[DebianPackage()])
    assert not names(cache)


@pytest.mark.long
def test_the_real_package(cache: Path) -> None:
    """Asks the machine's own archive; skipped where there is none, or it can't be reached."""
    try:
        fetch(sources=[DebianPackage()])
    except SourceError as error:
        pytest.skip(str(error))
    assert names(cache) == ALL_NAMES
    assert load_split("train", cache)[0].shape == (60_000, 28, 28)
