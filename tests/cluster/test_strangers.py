"""What someone without the token reaches at the ports of a cluster: every method of every service of Ray's is tried."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
from ray_nodes import DASHBOARD_PORT, RayNodes, can_make_namespaces, network, ray_folder
from stranger import grpc_answers, grpc_methods, http_answer, http_answers

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not can_make_namespaces(), reason="without networks of their own, nodes can't be told apart"),
]

DRIVER = "import ray, time; ray.init(); ray.get(ray.remote(lambda: time.sleep(500)).remote())"
"""Has a process on the head, and one on the worker node."""
OPEN_METHODS = {
    "grpc.health.v1.Health/Check",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
"""Whether it is up, and the names of its services."""
OPEN_PATHS = {"/api/gcs_healthz", "/api/local_raylet_healthz"}
SERVICES = {
    "NodeInfoGcsService", "JobInfoGcsService", "InternalKVGcsService", "NodeManagerService", "ObjectManagerService",
    "CoreWorkerService", "RayletDriver", "ReporterService", "LogService", "RaySyncer",
}  # fmt: skip
"""Those that must have been met, among others."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with network(), ray_folder() as folder:
        nodes = RayNodes(folder, {})
        try:
            nodes.start_head()
            worker = nodes.add_worker()
            job = ["job", "submit", "--no-wait", "--address", nodes.dashboard, "--", sys.executable, "-c", DRIVER]
            subprocess.run(
                [sys.executable, "-m", "ray.scripts.scripts", *job], env=nodes.environment(), check=True, timeout=120,
                capture_output=True,
            )  # fmt: skip
            deadline = time.monotonic() + 120
            while not worker.works():
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield nodes
        finally:
            nodes.close()


def test_a_stranger_learns_that_it_is_up_and_its_metrics(nodes: RayNodes) -> None:
    assert nodes.head is not None
    met: set[str] = set()
    for node in (nodes.head, *nodes.workers):
        for host, port in node.listens_at():
            if host == "127.0.0.1":
                continue
            assert host in ("*", node.address)
            where = f"{node.name}, port {port}"
            if (metrics := http_answer(node.address, port, "/metrics")) is None:
                answers = grpc_answers(node.address, port)
                open_here = {name for name, code in answers.items() if code is grpc.StatusCode.OK}
                assert open_here <= OPEN_METHODS, where
                refused = {code for name, code in answers.items() if name not in OPEN_METHODS}
                assert refused == {grpc.StatusCode.UNAUTHENTICATED}, (where, answers)
                met |= {name.partition("/")[0].rpartition(".")[2] for name in answers}
            elif metrics[0] == 200:
                assert metrics[1].startswith(b"# HELP"), where
                assert host == "*"
            else:
                statuses = http_answers(node.address, port)
                assert {path for path, status in statuses.items() if status != 401} <= OPEN_PATHS, (where, statuses)
                assert host == node.address, f"{where} listens on every address"
                met.add(f"http:{node.name}:{port}")
    assert met >= SERVICES
    assert f"http:head:{DASHBOARD_PORT}" in met
    assert len(grpc_methods()) > 140
