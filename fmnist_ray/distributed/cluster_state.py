"""What a cluster has and does right now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from fmnist_ray.distributed.jobs import COMMAND, Jobs
from fmnist_ray.distributed.session import connect, find_address
from fmnist_ray.errors import ClusterError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node."""

    name: str
    address: str
    alive: bool
    cpus: int
    gpus: int
    memory_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """One submitted job."""

    id: str
    status: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A cluster: its nodes, and the jobs that were submitted to it."""

    address: str
    dashboard_url: str
    nodes: tuple[NodeState, ...]
    jobs: tuple[JobState, ...]
    cpus_used: float


def cluster_state(address: str | None = None) -> ClusterState:
    """The cluster at `address` or RAY_ADDRESS, or the local one; `ClusterError` where none runs."""
    found = find_address(address)
    if found is None:
        raise ClusterError("No cluster runs here: start one with fmnist-ray cluster up, or name one by --address.")
    with connect(found):
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        jobs = Jobs(found)
        submitted = [job for job in jobs.list() if job.submission_id]
    return ClusterState(
        address=found,
        dashboard_url=jobs.dashboard_url,
        nodes=tuple(sorted((_node_state(node) for node in nodes), key=lambda node: node.name)),
        jobs=tuple(
            JobState(
                id=job.submission_id or "",
                status=str(job.status),
                command=(job.metadata or {}).get(COMMAND, job.entrypoint),
            )
            for job in submitted
        ),
        cpus_used=total.get("CPU", 0) - free.get("CPU", 0),
    )


def _node_state(node: dict[str, Any]) -> NodeState:
    resources = node["Resources"]
    return NodeState(
        name=node["NodeName"],
        address=node["NodeManagerAddress"],
        alive=node["Alive"],
        cpus=int(resources.get("CPU", 0)),
        gpus=int(resources.get("GPU", 0)),
        memory_gb=round(resources.get("memory", 0) / 1e9, 1),
    )
