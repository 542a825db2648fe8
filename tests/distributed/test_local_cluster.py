"""`cluster up`, `submit`, `cluster down`: what a user types, on a cluster whose record lies in a folder of the test."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fmnist_ray import open_results
from fmnist_ray.datasets.shipped import sample_catalogue_path
from fmnist_ray.distributed.local_record import LocalCluster

NODES = 2


@dataclass(frozen=True)
class Shell:
    """Where the commands of the test are typed: one that knows of no other Ray."""

    place: Path
    folder: Path
    temporary: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**ours, "FMNIST_RAY_CLUSTER_DIR": str(self.place), "TMPDIR": str(self.temporary)}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fmnist_ray", *arguments], cwd=self.folder, env={**self.environment, **variables},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    def cluster(self) -> LocalCluster:
        values = json.loads((self.place / "cluster.json").read_text())
        return LocalCluster(**{**values, "sessions": tuple(values["sessions"])})

    def assert_nothing_is_left(self, cluster: LocalCluster) -> None:
        assert cluster.processes() == []
        assert not self.place.exists()
        assert not Path(cluster.ray_folder).exists()
        assert list(self.temporary.iterdir()) == []


def new_shell(folder: Path) -> Shell:
    (folder / "tmp").mkdir()
    return Shell(folder / "record", folder, folder / "tmp")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = new_shell(tmp_path_factory.mktemp("cluster"))
    done = shell.run("cluster", "up", "--nodes", str(NODES), "--cpus", "1", "--json")
    try:
        assert done.returncode == 0, done.stderr
        yield shell
    finally:
        shell.run("cluster", "down")


def test_every_control_address_asks_for_the_token_and_all_ports_are_on_loopback(shell: Shell) -> None:
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

    listening = {
        connection.laddr.ip
        for process in cluster.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    record = shell.place / "cluster.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.place.stat().st_mode) == 0o700


def test_with_another_token_the_job_server_is_closed(shell: Shell) -> None:
    command = ["submit", "--address", shell.cluster().dashboard_url, "data", "fetch"]
    refused = shell.run(*command, RAY_AUTH_TOKEN="0" * 64)
    assert refused.returncode == 1
    assert "wants another token: set RAY_AUTH_TOKEN" in refused.stderr


def test_status_shows_a_head_without_work_and_the_nodes(shell: Shell) -> None:
    done = shell.run("cluster", "status", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert [(node["name"], node["cpus"], node["alive"]) for node in state["nodes"]] == [
        ("head", 0, True), ("worker-1", 1, True), ("worker-2", 1, True),
    ]  # fmt: skip
    assert {node["address"] for node in state["nodes"]} == {"127.0.0.1"}
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
    jobs = json.loads(shell.run("cluster", "status", "--json").stdout)["jobs"]
    assert jobs == [{"id": "night", "status": "SUCCEEDED", "command": shlex.join(command[3:])}]


def test_what_a_run_did_is_there_for_prometheus_after_its_end(shell: Shell) -> None:
    """The run of the test above; Ray keeps the list of what to scrape in a file of the form that Prometheus reads."""
    commit = open_results(str(shell.folder / "results")).commit
    rows = f'ray_fmnist_rows_total{{run="{commit.plan_id}"}}'
    deadline = time.monotonic() + 60
    last_commit = "ray_fmnist_last_commit_timestamp_seconds{}"
    discovery = Path(shell.cluster().ray_folder) / "prom_metrics_service_discovery.json"
    while not {rows, last_commit} <= (seen := scraped(discovery)).keys():
        assert time.monotonic() < deadline, sorted(name for name in seen if "fmnist" in name)
        time.sleep(0.5)
    assert seen[rows] == 1_000
    attempts = f'ray_fmnist_shard_attempts_total{{outcome="done",run="{commit.plan_id}"}}'
    assert seen[attempts] == commit.facts["num_shards"]
    steps = {name for name in seen if name.startswith("ray_fmnist_step_seconds_total")}
    assert len(steps) == 5
    assert 0 < sum(seen[name] for name in steps) < 600
    assert abs(seen[last_commit] - time.time()) < 600


def scraped(discovery: Path) -> dict[str, float]:
    """The package's metrics on all nodes, with the labels that are the package's own."""
    found: dict[str, float] = {}
    for group in json.loads(discovery.read_text()) if discovery.exists() else []:
        for target in group["targets"]:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=20) as answer:
                text = answer.read().decode()
            for name, labels, value in re.findall(r"^(ray_fmnist_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
                own = sorted(re.findall(r'\b((?:run|outcome|reason|step)="[^"]*")', labels))
                key = f"{name}{{{','.join(own)}}}"
                found[key] = found.get(key, 0) + float(value)
    return found


def test_a_working_directory_and_the_package_travel_with_a_job(shell: Shell) -> None:
    project = shell.folder / "project"
    project.mkdir()
    shutil.copy(sample_catalogue_path(), project / "own.parquet")
    done = shell.run("submit", "--working-dir", str(project), "catalogue", "check", "own.parquet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_rows"] == 1_000

    command = ["classify", "none.parquet", "--out", "nowhere", "--verbose"]
    there = shell.run("submit", "--ship-package", *command)
    assert there.returncode == 2
    modules = re.findall(r'File "(.+)/fmnist_ray/', there.stdout)
    assert modules
    assert all("py_modules_files" in module for module in modules), "the copy ran, not what is installed"


def test_requirements_are_a_file_of_the_working_directory(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "needed.txt").write_text("numpy\n")
    missing = shell.run("submit", "--requirements", "needed.txt", "data", "fetch")
    assert (missing.returncode, "no requirements file needed.txt" in missing.stderr) == (2, True)
    elsewhere = shell.run(
        "submit", "--working-dir", str(shell.folder), "--requirements", str(tmp_path / "needed.txt"), "data", "fetch"
    )
    assert (elsewhere.returncode, "are a file of that folder" in elsewhere.stderr) == (2, True)


def test_a_failing_command_ends_as_it_would_here(shell: Shell) -> None:
    command = ["classify", "none.parquet", "--out", "nowhere"]
    here, there = shell.run(*command), shell.run("submit", *command)
    assert here.returncode == there.returncode == 2
    sentence = here.stderr.strip()
    assert sentence.startswith("error: No catalogue at")
    assert sentence in there.stdout
    assert "FAILED" in there.stdout
    assert there.stdout.count(sentence) == 1


def has_ended(process: psutil.Process) -> bool:
    """A zombie has: it only waits for its parent to look."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_killed_up_leaves_nothing_that_down_does_not_find(tmp_path: Path) -> None:
    shell = new_shell(tmp_path)
    command = [sys.executable, "-m", "fmnist_ray", "cluster", "up", "--nodes", "1"]
    up = subprocess.Popen(command, env=shell.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (shell.place / "cluster.json").exists() or len(shell.cluster().sessions) < 2:
        assert up.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    up.kill()  # while the worker node is only starting: nothing but its environment says whose it is
    up.wait()
    cluster = shell.cluster()
    node = psutil.Process(cluster.sessions[1])
    assert node in cluster.processes()
    assert shell.run("cluster", "down").returncode == 0
    shell.assert_nothing_is_left(cluster)
    assert has_ended(node)


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
    assert all(map(has_ended, before))
    shell.assert_nothing_is_left(cluster)
    assert json.loads(shell.run("cluster", "down", "--json").stdout)["was_running"] is False
