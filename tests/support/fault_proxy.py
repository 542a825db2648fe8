"""A proxy in front of an S3 server that does to requests what networks and stores do to them."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("503", "503_after", "reset", "reset_after", "truncate", "flip", "slow")
"""`503` and `reset` (the connection is cut) come before the server hears of the request; `_after` when it has done it,
and only the answer is lost. `truncate` and `flip` (one bit) damage the body of an answer; `slow` sends it in pieces."""
OF_BODIES = ("truncate", "flip", "slow")
_SLOW_PIECES, _SLOW_WAIT_S = 5, 0.02

Choose = Callable[[str, str], str | None]
"""From the method and the path of a request to a fault, or None."""


class FaultProxy:
    """Forwards to `upstream` (`http://host:port`) and counts the faults it made. Signatures stay valid, because the
    header Host is the client's."""

    def __init__(self, upstream: str, choose: Choose) -> None:
        self.choose = choose
        self.made: Counter[str] = Counter()
        self.num_requests = 0
        host, _, port = upstream.removeprefix("http://").partition(":")
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": (host, int(port))})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def in_turn(faults: Sequence[str | None], method: str = "", path: str = "") -> Choose:
    """These faults, one for each request whose method and path contain the given texts, then none."""
    left = list(faults)

    def choose(asked_method: str, asked_path: str) -> str | None:
        return left.pop(0) if left and method in asked_method and path in asked_path else None

    return choose


def at_random(seed: int, share: float) -> Choose:
    """Any fault, on a share of the requests."""
    generator, lock = random.Random(seed), threading.Lock()

    def choose(method: str, path: str) -> str | None:
        with lock:
            fault = generator.choice(FAULTS) if generator.random() < share else None
        return None if fault in OF_BODIES and (method != "GET" or "list-type" in path) else fault

    return choose


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    upstream: tuple[str, int]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self._body()
        fault = self.proxy.choose(self.command, self.path)
        self.proxy.num_requests += 1
        if fault:
            self.proxy.made[fault] += 1
        if fault in ("503", "501"):
            self._send(int(fault), {}, b"")
        elif fault == "reset":
            self._reset()
        else:
            status, headers, answer = self._forward(body)
            if fault == "503_after":
                self._send(503, {}, b"")
            elif fault == "reset_after":
                self._reset()
            else:
                self._send(status, headers, answer, fault)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle

    def _body(self) -> bytes:
        if "100-continue" in self.headers.get("Expect", ""):
            del self.headers["Expect"]
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: str | None = None) -> None:
        self.send_response_only(status)
        length = headers.pop("Content-Length", str(len(body)))
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if fault == "flip" and body:
            damaged = bytearray(body)
            damaged[len(body) // 4] ^= 1
            body = bytes(damaged)
        if fault == "truncate":
            self.wfile.write(body[: len(body) // 2])
            self._reset()
        elif fault == "slow":
            step = max(1, len(body) // _SLOW_PIECES)
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                time.sleep(_SLOW_WAIT_S)
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """Cut the connection as a crash does, without a goodbye."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
