"""`ray start` for a node on loopback: python -m fmnist_ray.distributed.start_node ARGUMENTS.

Ray's servers listen on 127.0.0.1 alone where that is the node's address, and on every address of the machine otherwise.
But on Linux `ray start` takes 127.0.0.1 for the machine's outer address, and where it does not, on macOS, it refuses a
second node. Both are put right here, for this process; drivers need only the variable that the room sets.
"""

from __future__ import annotations

import os

from ray._private import ray_constants, services
from ray.scripts.scripts import main


def start_node() -> None:
    """Start what the command line says."""
    os.environ.pop("RAY_metrics_report_interval_ms", None)  # which the room sets for drivers
    ray_constants.ENABLE_RAY_CLUSTER = True
    services.resolve_ip_for_localhost = lambda host: host
    main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    start_node()
