"""Kills at the worst moments, for real: the command, its workers, and the whole of its Ray, with a reader watching."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmnist_ray import open_results
from fmnist_ray.config.classify import ClassifySettings
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.errors import IncompleteError
from fmnist_ray.flows.classify import classify
from fmnist_ray.flows.verify import verify_run

NUM_FILES, COPIES, SHARD_ROWS = 4, 8, 400
NUM_ROWS = NUM_FILES * COPIES * 1_000
BUDGET_S = 240


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32,000 rows in four files: the shipped sample, over and over, with ids of their own."""
    folder = tmp_path_factory.mktemp("kills") / "catalogue"
    folder.mkdir()
    sample = pq.read_table(sample_catalogue_path())
    for number in range(NUM_FILES):
        table = pa.concat_tables([sample] * COPIES)
        ids = pa.array([f"{number}-{row}" for row in range(len(table))])
        pq.write_table(table.set_column(0, "product_id", ids), folder / f"{number}.parquet", row_group_size=1_000)
    return folder


@pytest.fixture(scope="module")
def undisturbed(catalogue: Path, in_process: Any) -> dict[str, list[Any]]:
    """The rows of a run that nobody disturbs."""
    out = catalogue.parent / "undisturbed"
    settings = ClassifySettings(catalogue_uri=str(catalogue), out_uri=str(out), shard_rows=SHARD_ROWS)
    classify(settings, lambda: nullcontext(in_process()))
    return rows_of(out)


def rows_of(out: Path) -> dict[str, list[Any]]:
    return (
        open_results(str(out))
        .predictions()
        .sort_by([("input_file", "ascending"), ("input_row", "ascending")])
        .to_pydict()
    )


class Command:
    """`fmnist-ray classify` as a user starts it, with its processes."""

    def __init__(self, catalogue: Path, out: Path, log: Path) -> None:
        arguments = ["classify", str(catalogue), "--out", str(out), "--shard-rows", str(SHARD_ROWS), "--json"]
        self._out = out
        self._log = log.open("w")
        self.process = psutil.Popen(
            [sys.executable, "-m", "fmnist_ray", *arguments], stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self._family: dict[int, psutil.Process] = {}

    def wait_for_receipts(self, number: int) -> None:
        """Return as soon as the run has that many receipts."""
        deadline = time.monotonic() + BUDGET_S
        while self.num_receipts() < number:
            assert time.monotonic() < deadline, "no receipt in time"
            assert self.process.poll() is None, "the command ended before the kill"
            time.sleep(0.005)

    def num_receipts(self) -> int:
        return sum(1 for _ in self._out.glob("receipts/*/*.json"))

    def family(self, wanted: Callable[[str], bool] = lambda name: True) -> list[psutil.Process]:
        """Processes that the command started and that run, by what they call themselves."""
        found = []
        for process in self.process.children(recursive=True):
            self._family[process.pid] = process
            try:
                if wanted(" ".join(process.cmdline())):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def end(self) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON."""
        stdout, _ = self.process.communicate(timeout=BUDGET_S)
        self._log.close()
        return self.process.returncode, json.loads(stdout) if stdout else {}

    def left_behind(self) -> list[psutil.Process]:
        """Processes that the command started and that do not end by themselves. Two of Ray's own, its agents, need a
        minute to notice that the rest was killed; they are ended here."""
        _, alive = psutil.wait_procs(list(self._family.values()), timeout=20)
        for process in alive:
            if process.name() in ("ray::DashboardAgent", "ray::RuntimeEnvAgent"):
                process.kill()
        return psutil.wait_procs(alive, timeout=10)[1]


class Reader(threading.Thread):
    """Polls the output place as a consumer would; sees nothing or the whole."""

    def __init__(self, out: Path) -> None:
        super().__init__(daemon=True)
        self._out = out
        self.stopped = threading.Event()
        self.seen: set[int] = set()
        self.num_looks = 0

    def stop(self) -> None:
        """Look no more."""
        self.stopped.set()
        self.join(10)

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            self.num_looks += 1
            try:
                self.seen.add(len(open_results(str(self._out)).predictions()))
            except IncompleteError:
                self.seen.add(0)


@pytest.fixture
def start(catalogue: Path, tmp_path: Path) -> Iterator[Callable[[], Command]]:
    """Starts the command into `tmp_path / "out"`; what still runs when the test ends is killed."""
    commands: list[Command] = []

    def command() -> Command:
        commands.append(Command(catalogue, tmp_path / "out", tmp_path / "log"))
        return commands[-1]

    yield command
    for started in commands:
        if started.process.poll() is None:
            for process in [*started.family(), started.process]:
                process.kill()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    watching = Reader(tmp_path / "out")
    watching.start()
    yield watching
    watching.stop()


@pytest.mark.timeout(900)
def test_worker_command_and_ray_are_killed_and_every_row_is_there_once(
    start: Callable[[], Command], undisturbed: dict[str, list[Any]], reader: Reader, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"

    first = start()
    first.wait_for_receipts(2)
    first.family(lambda name: name.startswith("ray::") and "_ShardActor" in name)[0].kill()
    first.wait_for_receipts(20)
    first.family()
    first.process.kill()
    assert first.end()[0] == -9

    done = first.num_receipts()
    assert 20 <= done < NUM_ROWS // SHARD_ROWS
    attempts = len(list(out.glob("data/*/*.predictions.parquet")))

    second = start()
    second.wait_for_receipts(done + 10)
    for process in second.family():
        process.kill()
    code, _ = second.end()
    assert code != 0
    done = second.num_receipts()
    assert done < NUM_ROWS // SHARD_ROWS
    assert reader.seen == {0}

    third = start()
    third.wait_for_receipts(done + 1)
    third.family()
    code, summary = third.end()
    assert code == 0, log.read_text()
    assert summary["committed"]
    assert summary["num_rows"] == summary["num_predictions"] == NUM_ROWS
    assert summary["num_shards_resumed"] == done
    assert attempts >= 20

    assert verify_run(str(out)).num_rows == NUM_ROWS
    assert rows_of(out) == undisturbed
    assert [process for command in (first, second, third) for process in command.left_behind()] == []
    reader.stop()
    assert reader.num_looks > 10
    assert reader.seen <= {0, NUM_ROWS}
    shutil.rmtree(out)
