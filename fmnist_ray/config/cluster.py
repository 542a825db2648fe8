"""What a local cluster is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fmnist_ray.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """A head, which does no work itself, and worker nodes on this machine."""

    nodes: int = 2
    """Worker nodes."""
    cpus: int | None = None
    """CPUs of each worker node. None: an equal share of this machine's, at least 1."""
    gpus: int = 0
    """GPUs of each worker node; the first node has the first ones."""
    memory_gb: float | None = None
    """Memory that each worker node gives out, in 10^9 bytes. None: what Ray finds free. It is counted, not enforced."""
    dashboard_port: int = 0
    """Of the dashboard and the job server, on loopback. 0: one that is free."""

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 100:
            raise SettingError(f"--nodes is {self.nodes}; allowed are 1 to 100.")
        if self.cpus is not None and self.cpus < 1:
            raise SettingError(f"--cpus is {self.cpus}; it must be at least 1.")
        if self.gpus < 0:
            raise SettingError(f"--gpus is {self.gpus}; it must be at least 0.")
        if self.memory_gb is not None and not 0.1 <= self.memory_gb <= 1e6:
            raise SettingError(f"--memory-gb is {self.memory_gb}; allowed are 0.1 to 1000000.")
        if not 0 <= self.dashboard_port < 65536:
            raise SettingError(f"--dashboard-port is {self.dashboard_port}; allowed are 0 to 65535.")

    @property
    def cpus_per_node(self) -> int:
        """CPUs of each worker node on this machine."""
        return self.cpus or max(1, (os.cpu_count() or 1) // self.nodes)
