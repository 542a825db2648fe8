"""The endpoint as its users start it: the command in a process of its own, on Ray Serve, over real HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from same_answers import differences

from fmnist_ray import load_bundle, open_results
from fmnist_ray.bundle.explainer import Explainer
from fmnist_ray.bundle.format import CARD, SPEC, bundle_uri, read_bundle, write_bundle
from fmnist_ray.catalogue.carry import ANSWER_COLUMNS
from fmnist_ray.client import Client
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.config.decisions import Promises
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.endpoint.keys import add_key
from fmnist_ray.flows.features import extract_features
from fmnist_ray.store import open_store

START_S = 20
STOP_S = 10


@dataclasses.dataclass
class Running:
    """A `fmnist-ray serve` that answers."""

    process: subprocess.Popen[str]
    url: str
    facts: dict[str, Any]
    start_s: float

    def replicas(self, deployment: str = "endpoint") -> list[psutil.Process]:
        """Its processes that answer, or those of another deployment."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it ended just now
                if process.cmdline()[:1] == [f"ray::ServeReplica:fmnist-ray:{deployment}"]:
                    found.append(process)
        return found

    def stop(self) -> float:
        """Seconds that it takes to end by SIGTERM."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        return time.monotonic() - started


@contextlib.contextmanager
def served(*options: str, **environment: str) -> Iterator[Running]:
    """`fmnist-ray serve` with these options, until the end of the block, and nothing of it after that."""
    command = [sys.executable, "-m", "fmnist_ray", "serve", "--port", "0", "--json", *options]
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        facts = json.loads(line)
        yield Running(process, facts["url"], facts, time.monotonic() - started)
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
            assert not psutil.wait_procs(family, timeout=5)[1]
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


def test_all_ways_to_an_answer_agree(tmp_path: Path, in_process: Any) -> None:
    """1,000 images by the command, the endpoint and Python, under one promise, in every field; each is most similar to
    itself; and nothing of the endpoint is left when it has ended."""
    images = pq.ParquetFile(sample_catalogue_path()).read(["image"])["image"].to_pylist()
    promise = ("--min-precision", "0.99")
    command = [sys.executable, "-m", "fmnist_ray", "classify", str(sample_catalogue_path()), *promise]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    batch = open_results(str(tmp_path / "out")).predictions().sort_by("input_row").to_pylist()
    python = load_bundle("default", runtime="cpu", promises=Promises(min_precision=0.99)).classify(images).to_pylist()

    place = tmp_path / "bundle"
    shutil.copytree(bundle_uri("default"), place)
    features = str(tmp_path / "features")
    settings = ClassifySettings(catalogue_uri=str(sample_catalogue_path()), out_uri=features, table="features")
    extract_features(settings, lambda: contextlib.nullcontext(in_process()))
    options = ("--bundle", str(place), "--watch", "0.5", "--features", features)
    with served(*promise, *options) as running:
        with Client(running.url) as client:
            assert [client.similar(images[row], rows=1)[0].input_row for row in (0, 999)] == [0, 999]
            endpoint = client.classify(images)
            assert client.bundle()["digest"] == running.facts["bundle_digest"]
            assert running.replicas("explainer") == []
            assert client.explain(images[0]) == Explainer(read_bundle("default")).overlay(images[0])[0]
            [classifies], [explains] = running.replicas(), running.replicas("explainer")
            assert ["libtorch" in Path(f"/proc/{each.pid}/maps").read_text() for each in (classifies, explains)] == [
                False,
                True,
            ]
            bundle = read_bundle(str(place))
            files = {name: data for name, data in bundle.files.items() if name not in (SPEC, CARD)}
            other = write_bundle(open_store(str(place)), bundle.spec, {**files, CARD: b"The same network."})
            deadline = time.monotonic() + 30
            while client.classify(images[:1])[0].bundle_digest != other:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        family = psutil.Process(running.process.pid).children(recursive=True)
        running.stop()
        assert not psutil.wait_procs(family, timeout=5)[1]

    assert len(endpoint) == 1000
    assert [differences(each, row) for each, row in zip(endpoint, batch, strict=True)] == [{}] * 1000
    for row, same_row in zip(batch, python, strict=True):
        assert {name: row[name] for name in ANSWER_COLUMNS} == {name: same_row[name] for name in ANSWER_COLUMNS}
    assert {row["decision"] for row in batch} == {"accept", "review", "decline"}
    port = int(running.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    pid = running.process.pid
    assert not [path for path in Path("/tmp").glob("fmnist-ray-*") if re.search(rf"-{pid}-", path.name)]


@pytest.mark.long
@pytest.mark.parametrize("proxy", ["haproxy", "ray"])
def test_it_starts_and_stops_in_time(proxy: str) -> None:
    """On a machine that does nothing else: the promised seconds to the first answer, and from SIGTERM to the end."""
    with served("--proxy", proxy) as running:
        with Client(running.url, retries=0) as client:
            assert len(client.bundle()["labels"]) == 10
        assert running.start_s < START_S
        assert running.stop() < STOP_S


def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            ("--port", port): (1, "choose another with --port"),
            ("--bundle", str(tmp_path)): (2, "is not a bundle"),
            ("--host", "0.0.0.0"): (2, "needs keys"),
            ("--keys", str(tmp_path / "none")): (2, "can't be read"),
            ("--replicas", "many"): (2, "MIN..MAX"),
        }
        for options, (code, words) in cases.items():
            command = [sys.executable, "-m", "fmnist_ray", "serve", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, words in done.stderr) == (code, True), done.stderr


class Load:
    """Clients that ask all the time, and what they got."""

    def __init__(
        self, url: str, images: list[bytes], *, clients: int, key: str | None = None, retries: int = 8
    ) -> None:
        self.num_answers = 0
        self.digests: set[str | None] = set()
        self.failures: list[Exception] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url, images, key, retries)) for _ in range(clients)]

    def _ask(self, url: str, images: list[bytes], key: str | None, retries: int) -> None:
        with Client(url, key=key, retries=retries) as client:
            while not self._done.is_set():
                try:
                    self.digests |= {each.bundle_digest for each in client.classify(images)}
                    self.num_answers += 1
                except Exception as error:  # noqa: BLE001 told by the test itself
                    self.failures.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(timeout=60)


@pytest.mark.long
def test_a_replica_dies_and_another_loads_a_bundle_under_load(tmp_path: Path, tiny_bundle: Path) -> None:
    """Two replicas. One is killed: clients that retry see nothing of it. One is told to take another bundle: the other
    follows, and no request fails."""
    images = pq.ParquetFile(sample_catalogue_path()).read(["image"])["image"].to_pylist()[:8]
    boss = add_key(str(tmp_path / "keys"), "boss", "admin")
    with served("--keys", str(tmp_path / "keys"), "--replicas", "2") as running:
        old, new = running.facts["bundle_digest"], load_bundle(str(tiny_bundle), runtime="cpu").digest
        with Load(running.url, images, clients=4, key=boss) as load:
            time.sleep(2)
            victim, *others = running.replicas()
            assert len(others) == 1
            victim.kill()
            deadline = time.monotonic() + 60
            while len([each for each in running.replicas() if each.pid != victim.pid]) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.5)
            time.sleep(3)
            before = load.num_answers
            with Client(running.url, key=boss) as client:
                assert client.reload(str(tiny_bundle)) == new
            time.sleep(5)
            assert load.num_answers > before
        assert load.failures == []
        assert load.digests == {old, new}
        with Client(running.url, key=boss) as client:
            assert {client.classify(images)[0].bundle_digest for _ in range(20)} == {new}


@pytest.mark.long
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_five_hundred_clients_at_once(tmp_path: Path) -> None:
    """For a minute: 200 or 503 and nothing else, memory flat, and well again at once."""
    image = pq.ParquetFile(sample_catalogue_path()).read(["image"])["image"][0].as_py()
    (tmp_path / "body").write_bytes(image)
    with served() as running:
        [replica] = running.replicas()
        script = Path(__file__).parents[1] / "benchmarks" / "wrk_post.lua"
        command = ["wrk", "-t1", "-c500", "-d60s", "--timeout", "20s", "-s", str(script), f"{running.url}/v1/classify"]
        environment = {**os.environ, "BODY": str(tmp_path / "body"), "TYPE": "image/png"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as wrk:
            time.sleep(15)
            early = replica.memory_info().rss
            told, _ = wrk.communicate(timeout=100)
        found = json.loads(told.partition("RESULT ")[2])
        assert found["num_ok"] > 10_000, found
        assert (found["num_other"], found["num_broken"]) == (0, 0), found
        assert found["p99_ms"] < 2000, found
        assert replica.memory_info().rss < early + 50_000_000
        with Client(running.url, retries=0) as client:
            started = time.monotonic()
            assert client.classify([image])[0].label == "Ankle boot"
            assert time.monotonic() - started < 1
