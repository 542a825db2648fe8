"""Ports that this process and its children listen on, as the kernel tells."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from fmnist_ray.distributed.haproxy import check_port, serve_environment
from fmnist_ray.distributed.ports import listening_ports
from fmnist_ray.errors import ClusterError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_own_sockets_are_found(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip("no such address here")
        port = listener.getsockname()[1]
        assert (address, port) not in listening_ports(), "bound is not yet listening"
        listener.listen()
        assert (address, port) in listening_ports()
    assert (address, port) not in listening_ports()


def test_sockets_of_children_are_found() -> None:
    program = (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert ("127.0.0.1", port) in listening_ports()
        child.communicate("\n")


def test_a_port_is_free_or_the_error_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match="--port"):
            check_port("127.0.0.1", port)
    assert check_port("127.0.0.1", port) == port
    assert check_port("127.0.0.1", 0) > 0


def test_haproxy_listens_where_it_should_and_says_503(tmp_path) -> None:
    """The wrapper puts Ray's configuration right before it starts the program; here the program only shows it."""
    environment = serve_environment("haproxy", tmp_path)
    wrapper = tmp_path / "haproxy"
    lines = wrapper.read_text().splitlines()
    wrapper.write_text("\n".join([*lines[:-1], 'cat "$2"']))
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "    errorfile 503 500.http\nfrontend prometheus\n    bind :9101\n"
        "frontend http_frontend\n    bind 10.0.0.1:8000\nlisten stats\n  bind *:8404\n"
    )
    shown = subprocess.run(
        [environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-f", str(config)], capture_output=True, text=True, check=True
    ).stdout
    assert [line.strip() for line in shown.splitlines() if "bind" in line] == [
        "bind 127.0.0.1:9101",
        "bind 10.0.0.1:8000",
        "bind 127.0.0.1:8404",
    ]
    assert "errorfile" not in shown
    ports = {environment[f"RAY_SERVE_HAPROXY_{name}_PORT"] for name in ("STATS", "METRICS")}
    assert len(ports) == 2
