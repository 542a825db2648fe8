"""`cluster up`, `submit`, `cluster down`: what a user types, on a cluster whose record lies in a folder of the test."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fmnist_ray import open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.distributed.local_cluster import LocalCluster

NODES = 2


@dataclass(frozen=True)
class Shell:
    """Where the commands of the test are typed: one that knows of no other Ray."""

    place: Path
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment["FMNIST_RAY_CLUSTER_DIR"] = str(self.place)
        return subprocess.run(
            [sys.executable, "-m", "fmnist_ray", *arguments],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    def cluster(self) -> LocalCluster:
        values = json.loads((self.place / "cluster.json").read_text())
        return LocalCluster(**{**values, "sessions": tuple(values["sessions"])})


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("cluster")
    shell = Shell(folder / "record", folder)
    done = shell.run("cluster", "up", "--nodes", str(NODES), "--cpus", "1", "--json")
    try:
        assert done.returncode == 0, done.stderr
        yield shell
    finally:
        shell.run("cluster", "down")


def test_every_control_address_asks_for_the_token_and_the_dashboard_is_on_loopback(shell: Shell) -> None:
    cluster = shell.cluster()
    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary", "/api/serve/applications/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(cluster.dashboard_url + path, timeout=20)
        refused.value.close()
        assert refused.value.code == 401, path
    request = urllib.request.Request(
        cluster.dashboard_url + "/api/jobs/", headers={"Authorization": f"Bearer {cluster.token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200

    port = int(cluster.dashboard_url.rpartition(":")[2])
    listening = {
        connection.laddr.ip
        for process in cluster.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert listening == {"127.0.0.1"}
    record = shell.place / "cluster.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.place.stat().st_mode) == 0o700


def test_status_shows_a_head_without_work_and_the_nodes(shell: Shell) -> None:
    done = shell.run("cluster", "status", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert [(node["name"], node["cpus"], node["alive"]) for node in state["nodes"]] == [
        ("head", 0, True), ("worker-1", 1, True), ("worker-2", 1, True),
    ]  # fmt: skip
    assert len({node["address"] for node in state["nodes"]}) == 1 + NODES
    assert (state["address"], state["dashboard_url"]) == (shell.cluster().address, shell.cluster().dashboard_url)


def test_a_submitted_command_runs_there_with_paths_of_here_and_one_id_runs_once(shell: Shell) -> None:
    command = ["submit", "--id", "night", "classify", str(sample_catalogue_path()), "--out", "results", "--json"]
    done = shell.run(*command)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["committed"], summary["num_rows"]) == (True, 1_000)
    results = open_results(str(shell.folder / "results"))
    assert len(results.predictions()) == 1_000
    assert results.commit.facts["num_workers"] == NODES

    again = shell.run(*command)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == summary, "the log of the job that had the id, not a second run"


def test_a_failing_command_ends_as_it_would_here(shell: Shell) -> None:
    command = ["classify", "none.parquet", "--out", "nowhere"]
    here, there = shell.run(*command), shell.run("submit", *command)
    assert here.returncode == there.returncode == 2
    sentence = here.stderr.strip()
    assert sentence.startswith("error: No catalogue at")
    assert sentence in there.stdout
    assert "FAILED" in there.stdout


def test_a_second_cluster_is_refused_and_down_leaves_no_process_and_no_file(shell: Shell) -> None:
    second = shell.run("cluster", "up")
    assert second.returncode == 1
    assert "runs already" in second.stderr

    cluster = shell.cluster()
    before = cluster.processes()
    assert {"gcs_server", "raylet"} <= {process.name() for process in before}
    done = shell.run("cluster", "down", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_processes"] >= len(before)
    assert [process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert not shell.place.exists()
    assert not Path(cluster.ray_folder).exists()
    assert json.loads(shell.run("cluster", "down", "--json").stdout)["was_running"] is False
