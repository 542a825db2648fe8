"""Who may ask, and how much: keys, hosts, and limits that hold while a body is still arriving."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from fmnist_ray.client import Client
from fmnist_ray.config.serve import RequestLimits, ServeSettings, is_loopback
from fmnist_ray.endpoint.keys import Keys, add_key, parse_keys, read_keys
from fmnist_ray.errors import InputError, RefusedError, SettingError, WorldError

RAW = {"Content-Type": "image/png"}


def post(url: str, body: object, **headers: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as http:
        return http.request("POST", f"{url}/v1/classify", body=body, headers={**RAW, **headers})


def exchange(url: str, request: bytes, *, timeout_s: float = 10) -> bytes:
    """What comes back on a connection until the server closes it."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def head(length: int | None = None) -> bytes:
    size = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n" + size + b"\r\n\r\n"


def test_keys_are_kept_as_hashes_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    shop, boss = add_key(str(path), "shop", "classify"), add_key(str(path), "boss", "admin")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shop not in path.read_text()
    assert hashlib.sha256(shop.encode()).hexdigest() in path.read_text()
    keys = read_keys(str(path))
    assert keys.allows(f"Bearer {shop}", "classify")
    assert keys.allows(f"bearer {boss}", "classify")
    assert keys.allows(f"Bearer {boss}", "admin")
    for refused in (f"Bearer {shop}x", f"Basic {shop}", shop, "Bearer", "", None):
        assert not keys.allows(refused, "classify")
    assert not keys.allows(f"Bearer {shop}", "admin")
    with pytest.raises(InputError, match="Line 2"):
        parse_keys(["# ours", "shop classify abc"], "here")
    with pytest.raises(InputError, match="can't be named"):
        add_key(str(path), "two words", "classify")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="no keys"):
        read_keys(str(tmp_path / "empty"))


def test_without_a_key_nothing_but_probes_and_the_page(serve, tmp_path: Path, sample: list[bytes]) -> None:
    path = str(tmp_path / "keys")
    shop = add_key(path, "shop", "classify")
    with serve(keys=read_keys(path)) as url, urllib3.PoolManager(retries=False) as http:
        open_paths = [http.request("GET", url + path).status for path in ("/", "/healthz", "/readyz", "/page/page.js")]
        closed = [http.request("GET", url + path).status for path in ("/v1/bundle", "/metrics", "/openapi.json", "/x")]
        assert open_paths == [200] * 4
        assert closed == [401] * 4
        answer = post(url, sample[0])
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        with Client(url, key=shop) as client:
            assert client.classify(sample[:1])[0].label == "Ankle boot"
            with pytest.raises(RefusedError, match="administrator"):
                client.reload()
        with Client(url, key="wrong") as client, pytest.raises(RefusedError, match="needs a key"):
            client.bundle()


def test_other_machines_need_keys_and_other_names_are_refused(url: str, sample: list[bytes]) -> None:
    with pytest.raises(SettingError, match="--new-key"):
        ServeSettings(host="0.0.0.0")
    for host in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "shop.example", "::ffff:10.0.0.1"):
        assert not is_loopback(host)
    for host in ("rebound.example", "rebound.example:80", "192.168.0.7", ""):
        assert post(url, sample[0], Host=host).status == 421
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert post(url, sample[0], Host=host).status == 200


def test_nobody_administers_an_endpoint_without_keys(url: str) -> None:
    with Client(url) as client, pytest.raises(RefusedError, match="nobody"):
        client.reload("default")


def test_a_body_is_refused_by_its_length_or_as_it_grows(serve, sample: list[bytes]) -> None:
    with serve(limits=RequestLimits(max_body_bytes=100_000)) as url:
        assert b" 413 " in exchange(url, head(100_001)).split(b"\r\n")[0], "before a byte of it came"
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        answer = exchange(url, head() + chunk * 4 + b"0\r\n\r\n")
        assert b" 413 " in answer.split(b"\r\n")[0], "while it was still coming"
        assert b"urn:fmnist-ray:too-large" in answer
        assert post(url, sample[0]).status == 200


def test_a_gigabyte_costs_no_memory(serve) -> None:
    def gigabyte() -> Iterator[bytes]:
        for _ in range(1024):
            yield bytes(1 << 20)

    with serve() as url:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(urllib3.exceptions.HTTPError):  # it may close the connection while we still send
            assert post(url, gigabyte()).status == 413
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000, "kB"


def test_slow_senders_are_dropped_and_keep_nobody_waiting(serve, sample: list[bytes]) -> None:
    with serve(limits=RequestLimits(body_timeout_s=1.5)) as url:
        answers: list[bytes] = []
        slow = [threading.Thread(target=lambda: answers.append(exchange(url, head(1000) + b"x"))) for _ in range(50)]
        for thread in slow:
            thread.start()
        started = time.monotonic()
        assert post(url, sample[0]).status == 200
        assert time.monotonic() - started < 1
        for thread in slow:
            thread.join(timeout=20)
        assert [answer.split(b" ", 2)[1] for answer in answers] == [b"408"] * 50


def test_too_much_at_once_is_busy_and_soon_well_again(serve, sample: list[bytes]) -> None:
    """Far more requests than may wait: each is answered 200, or 503 with a time to come back."""
    limits = RequestLimits(max_images=64, max_waiting_images=64)
    statuses: list[int] = []

    with serve(limits=limits) as url:

        def ask() -> None:
            fields = [("images", (str(number), image)) for number, image in enumerate(sample[:40])]
            with urllib3.PoolManager(retries=False) as http:
                answer = http.request("POST", f"{url}/v1/classify", fields=fields)
            statuses.append(answer.status)
            assert answer.status == 200 or answer.headers["retry-after"] == "1"

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(statuses) == 40
        assert set(statuses) == {200, 503}
        assert post(url, sample[0]).status == 200
        with Client(url, retries=0) as client:
            assert len(client.classify(sample[:40])) == 40


def test_bodies_held_together_are_bounded(serve, sample: list[bytes]) -> None:
    with serve(limits=RequestLimits(max_held_bytes=1000)) as url:
        assert post(url, bytes(1001)).status == 503
        assert post(url, sample[0]).status == 200, "what was held is free again"


def test_the_client_tells_what_is_wrong() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with Client(address, retries=1) as client, pytest.raises(WorldError, match="can't be reached"):
        client.bundle()


def test_the_client_waits_for_a_busy_endpoint(serve, sample: list[bytes]) -> None:
    limits = RequestLimits(max_images=64, max_waiting_images=64)
    found: list[int] = []
    with serve(limits=limits) as url:

        def ask() -> None:
            with Client(url, retries=10) as client:
                found.append(sum(each.label is not None for each in client.classify(sample[:60])))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert found == [60] * 6


def test_no_keys_are_known_to_nobody() -> None:
    assert not Keys((), ()).allows(f"Bearer {os.urandom(8).hex()}", "classify")
