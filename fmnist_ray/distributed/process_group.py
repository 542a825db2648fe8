"""Torch's process group over the network that Ray's nodes share, whatever a node's host name stands for.

Gloo listens where the host name leads, which on many machines is loopback (Debian's /etc/hosts has 127.0.1.1 for it):
workers on other nodes would not reach it. Ray knows an address of each node that the others do reach.
"""

from __future__ import annotations

import os
from typing import Any

import psutil
import ray.util
from ray.train.torch import TorchConfig

INTERFACE_VARIABLE = "GLOO_SOCKET_IFNAME"
"""Gloo's own. Whoever set it on a node knows better."""
_torch_backend: Any = TorchConfig().backend_cls


class NodeNetworkConfig(TorchConfig):
    """Ray's configuration of the group, with the interface of each node chosen before torch looks for one."""

    @property
    def backend_cls(self) -> type[NodeNetworkBackend]:
        """What starts the group, on all workers at once."""
        return NodeNetworkBackend


class NodeNetworkBackend(_torch_backend):  # type: ignore[misc]  # Ray names it only by the property
    """Ray's way to start the group."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Tell every worker its interface, then start as usual."""
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Make gloo use the interface that has this node's address. Nodes of one machine may have addresses that no
    interface names; there the host name does."""
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if INTERFACE_VARIABLE not in os.environ and (interface := interface_of(address)) is not None:
        os.environ[INTERFACE_VARIABLE] = interface


def interface_of(address: str) -> str | None:
    """Name of the network interface that has an IP address, or None."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address.partition("%")[0] == address for found in addresses):
            return name
    return None
