"""A head and two worker nodes with addresses of their own, an S3 server outside of them, and a worker node that is lost
in the middle of a training, of a features job, of a search for an SVM, and of a night."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray_nodes import DASHBOARD_PORT, Node, RayNodes, network, ray_folder
from s3_server import S3Server, run_ministack

from fmnist_ray import load_bundle, open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.store import open_store, s3

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COPIES = 12
NUM_ROWS = COPIES * 1_000
DATE = "2026-11-20"
EPOCHS = 60


@dataclass(frozen=True)
class Place:
    """The cluster, and the bucket that it reads and writes."""

    nodes: RayNodes
    bucket: str

    def both_workers(self) -> tuple[Node, Node]:
        """The two worker nodes; lost ones are made up for."""
        while (
            len(self.nodes.workers) < 2
        ):  # one after the other: side by side in one folder, Ray's nodes get in the way
            self.nodes.add_worker()
            self.wait_until(lambda: self.num_alive() == 1 + len(self.nodes.workers))
        first, second = self.nodes.workers
        return first, second

    def num_alive(self) -> int:
        request = http.client.HTTPConnection(self.nodes.head.address if self.nodes.head else "", DASHBOARD_PORT)
        with contextlib.closing(request) as connection:
            connection.request("GET", "/nodes?view=summary", headers={"Authorization": f"Bearer {self.nodes.token}"})
            summary = json.loads(connection.getresponse().read())["data"]["summary"]
        return sum(node["raylet"]["state"] == "ALIVE" for node in summary)

    def wait_until(self, happens: Callable[[], bool], timeout_s: float = 180) -> None:
        deadline = time.monotonic() + timeout_s
        while not happens():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.1)

    def job(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Submit an entry script as people do."""
        command = ["job", "submit", "--address", self.nodes.dashboard, "--", sys.executable, f"{ROOT}/jobs/{script}"]
        return subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *command, *arguments, "--json"],
            env=self.nodes.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def log(self, job: subprocess.Popen[str]) -> list[str]:
        """The job's lines, once it has ended well."""
        output, _ = job.communicate(timeout=600)
        assert job.returncode == 0, output
        assert "succeeded" in output
        return output.splitlines()

    def ended(self, job: subprocess.Popen[str]) -> dict[str, Any]:
        """The job's own JSON object, once it has ended well."""
        return last_object(self.log(job))

    def keys(self, place: str, under: str) -> list[str]:
        return [info.key for info in open_store(f"{self.bucket}/{place}").list(under)]


def last_object(lines: list[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads([line for line in lines if line.startswith("{")][-1])
    return value


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with network(), ray_folder() as folder, pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        outside = RayNodes(folder, {}).outside
        server: S3Server = stack.enter_context(run_ministack(tmp_path_factory.mktemp("s3"), outside))
        for name, value in server.environment.items():
            patch.setenv(name, value)
        s3.close_client()  # of another server, if there is one
        stack.callback(s3.close_client)
        nodes = RayNodes(folder, server.environment)
        stack.callback(nodes.close)
        nodes.start_head()
        place = Place(nodes, f"s3://{server.new_bucket()}")
        place.both_workers()
        sample = pq.read_table(sample_catalogue_path())
        table = pa.concat_tables([sample] * COPIES)
        table = table.set_column(0, "product_id", pa.array([str(row) for row in range(len(table))]))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=500)
        open_store(f"{place.bucket}/catalogue/{DATE}").put("photos.parquet", sink.getvalue().to_pybytes())
        open_store(f"{place.bucket}/sample").put("sample.parquet", sample_catalogue_path().read_bytes())
        yield place


def test_training_goes_on_with_the_node_that_is_left(place: Place) -> None:
    _, lost = place.both_workers()
    job = place.job(
        "train.py", "--data", f"{place.bucket}/sample", "--arch", "ann", "--epochs", str(EPOCHS), "--workers", "2",
        "--min-workers", "1", "--track", "none", "--out", f"{place.bucket}/bundle",
    )  # fmt: skip
    place.wait_until(lambda: sum(key.endswith("state.safetensors") for key in place.keys("bundle-training", "")) >= 2)
    assert lost.works()
    place.nodes.lose(lost)
    lines = place.log(job)
    epochs = [line.split("/")[0].removeprefix("epoch ") for line in lines if line.startswith("epoch ")]
    assert epochs.count("1") == 1, "it goes on from a checkpoint"
    assert set(epochs) == {str(epoch) for epoch in range(1, EPOCHS + 1)}
    assert load_bundle(f"{place.bucket}/bundle").digest == last_object(lines)["bundle_digest"]


def test_features_and_the_svm_on_them_survive_a_node_each(place: Place) -> None:
    _, lost = place.both_workers()
    features = f"{place.bucket}/features"
    job = place.job("features.py", f"{place.bucket}/catalogue/{DATE}", "--shard-rows", "500", "--out", features)
    place.wait_until(lambda: lost.works() and bool(place.keys("features", "receipts")))
    place.nodes.lose(lost)
    assert place.ended(job)["num_predictions"] == NUM_ROWS
    assert verify_run(features).num_rows == NUM_ROWS

    _, lost = place.both_workers()
    job = place.job(
        "fit_svm.py", "--features", features, "--vary", "c=0.01,0.03,0.1", "--kind", "linear", "--folds", "4",
        "--out", f"{place.bucket}/two",
    )  # fmt: skip
    place.wait_until(lost.works)
    place.nodes.lose(lost)
    fitted = place.ended(job)
    assert load_bundle(f"{place.bucket}/two").digest == fitted["bundle_digest"]


def test_a_night_is_whole_and_there_once(place: Place) -> None:
    _, lost = place.both_workers()
    catalogue, root = f"{place.bucket}/catalogue/{{date}}", f"{place.bucket}/nights"
    command = ["nightly.py", catalogue, "--date", DATE, "--root", root]
    job = place.job(*command)
    place.wait_until(lambda: lost.works() and len(place.keys(f"nights/{DATE}", "receipts")) >= 2)
    place.nodes.lose(lost, silently=True)
    assert place.ended(job)["run"]["num_rows"] == NUM_ROWS
    assert verify_run(f"{root}/{DATE}").num_rows == NUM_ROWS
    results = open_results(root)
    ids = results.predictions().column("product_id").to_pylist()
    assert sorted(ids, key=int) == [str(row) for row in range(NUM_ROWS)]

    files = place.keys(f"nights/{DATE}", "data")
    assert place.ended(place.job(*command))["run"]["rows_per_s"] is None, "the second start finds the night done"
    assert place.keys(f"nights/{DATE}", "data") == files
