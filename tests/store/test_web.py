"""Images of a web server: what is asked for, and everything that is not."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.errors import AccessDeniedError, ImageRejected, SettingError, StoreError
from fmnist_ray.store import web
from fmnist_ray.store.web import WebImages

PHOTO = bytes(range(256)) * 600


class Canary(ThreadingHTTPServer):
    """A server that notes every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hits: list[tuple[str, dict[str, str]]] = []
        self.port = self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    server: Canary
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.hits.append((self.path, dict(self.headers)))
        match self.path.rpartition("/")[2]:
            case "moved.jpg":
                self.answer(302, b"", location=f"http://127.0.0.1:{self.server.port}/photos/a.jpg")
            case "gone.jpg":
                self.answer(404)
            case "denied.jpg":
                self.answer(403)
            case "busy.jpg" if len(self.server.hits) < 3:
                self.answer(503)
            case "cut.jpg" if len(self.server.hits) < 2:
                self.answer(200, PHOTO[:-1], length=len(PHOTO))
                self.close_connection = True
            case _:
                self.answer(200, PHOTO)

    def answer(self, status: int, body: bytes = b"", *, length: int | None = None, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing to the test's output."""


@pytest.fixture
def canary() -> Iterator[Canary]:
    server = Canary()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(prefix: str, *names: str) -> list[object]:
    return ImageFetcher("/catalogue", [prefix], max_bytes=200_000).fetch(names)


def reason(cell: object) -> str:
    assert isinstance(cell, ImageRejected), cell
    return cell.reason


def test_images_of_a_server_that_is_named_by_its_address(canary: Canary) -> None:
    place = f"http://127.0.0.1:{canary.port}/photos"
    found = fetched(place, f"{place}/a.jpg", f"{place}/ü b.jpg?size=l", f"{place}/gone.jpg", f"{place}/moved.jpg")
    assert found[:2] == [PHOTO, PHOTO]
    assert [reason(cell) for cell in found[2:]] == ["not_found", "not_allowed"]
    assert sorted(path for path, _ in canary.hits) == [
        "/photos/%C3%BC%20b.jpg?size=l", "/photos/a.jpg", "/photos/gone.jpg", "/photos/moved.jpg",
    ]  # fmt: skip
    assert {name for _, headers in canary.hits for name in headers} == {"Host", "User-Agent", "Accept-Encoding"}


def test_trouble_is_not_a_reject(canary: Canary) -> None:
    place = f"http://127.0.0.1:{canary.port}/photos"
    assert fetched(place, f"{place}/busy.jpg") == [PHOTO]
    canary.hits.clear()
    assert fetched(place, f"{place}/cut.jpg") == [PHOTO]
    with pytest.raises(AccessDeniedError, match="the server answers 403"):
        fetched(place, f"{place}/denied.jpg")
    canary.shutdown()
    canary.server_close()
    with pytest.raises(StoreError, match="could not be read"):
        WebImages(place, retry_for_s=0.2).get("a.jpg")


def test_a_large_answer_is_not_read(canary: Canary) -> None:
    place = f"http://127.0.0.1:{canary.port}/photos"
    found = ImageFetcher("/catalogue", [place], max_bytes=1_000).fetch([f"{place}/a.jpg"])
    assert reason(found[0]) == "too_large"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/photos/a.jpg",
        "http://localhost:{port}/photos/a.jpg",
        "http://2130706433:{port}/a.jpg",
        "http://0x7f000001:{port}/a.jpg",
        "http://0177.0.0.1:{port}/a.jpg",
        "http://127.1:{port}/a.jpg",
        "http://0:{port}/a.jpg",
        "http://[::1]:{port}/a.jpg",
        "http://[::ffff:127.0.0.1]:{port}/a.jpg",
        "http://[::ffff:169.254.169.254]/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/iam/",
        "https://cdn.example@127.0.0.1:{port}/photos/a.jpg",
        "https://cdn.example/photos@127.0.0.1:{port}/a.jpg",
        "https://cdn.example/photos/../../a.jpg",
        "https://cdn.example/photos/%2e%2e/secret.jpg",
        "https://cdn.example/photos/..%2fsecret.jpg",
        "https://cdn.example/photos/\\..\\secret.jpg",
        "https://cdn.example/photos/a.jpg#@127.0.0.1:{port}/",
        "https://cdn.example.evil.example/photos/a.jpg",
        "https://cdn.example:{port}/photos/a.jpg",
        "http://cdn.example/photos/a.jpg",
        "HTTPS://CDN.EXAMPLE/photos/a.jpg",
        "https://cdn.example/photos/a.jpg\r\nHost: 127.0.0.1",
        "//127.0.0.1:{port}/photos/a.jpg",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/a.jpg",
        "gopher://127.0.0.1:{port}/_GET%20/a.jpg",
        "s3://other/photos/a.jpg",
        "https://cdn.example/photos/a.jpg",  # the name is allowed, but it leads into this machine
    ],
)
def test_forged_names_reach_nobody(url: str, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", canary.port))]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *arguments, **options: answers)
    assert [reason(cell) for cell in fetched("https://cdn.example/photos", url.format(port=canary.port))] == [
        "not_allowed"
    ]
    assert canary.hits == []


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*arguments: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)) for host in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(web.socket, "getaddrinfo", answers)
    assert reason(fetched("https://cdn.example", "https://cdn.example/a.jpg")[0]) == "not_allowed"


def test_a_name_that_resolves_anew_leads_nowhere_else(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was checked is the one that is connected to: a name is looked up once for an image."""
    looked_up: list[str] = []

    def answers(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", canary.port))]

    place = f"http://rebinding.example:{canary.port}"
    monkeypatch.setattr(web.socket, "getaddrinfo", answers)
    monkeypatch.setattr(web, "_is_public", lambda address: True)
    assert WebImages(place).get("a.jpg") == PHOTO
    assert [host for host in looked_up if host != "127.0.0.1"] == ["rebinding.example"]
    assert canary.hits[0][1]["Host"] == f"rebinding.example:{canary.port}"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("10.1.2.3", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1", False), ("fd00:ec2::254", False), ("ff02::1", False),
        ("::ffff:10.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::a9fe:a9fe", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert web._is_public(ipaddress.ip_address(address)) == public


@pytest.mark.parametrize(
    "place",
    ["https://user:secret@cdn.example", "https://cdn.example/a?b", "https://2130706433", "http://0x7f.1", "https://"],
)
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(SettingError):
        WebImages(place)


def certificate(host: str, folder: Path) -> Path:
    """A key and a certificate of `host`, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    path = folder / f"{host}.pem"
    path.write_bytes(pem)
    return path


def test_https_proves_the_name_not_the_address(canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate("cdn.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    asked_for: list[str | None] = []
    context.sni_callback = lambda socket, name, context: asked_for.append(name)
    canary.socket = context.wrap_socket(canary.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", canary.port))]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *arguments, **options: answers)
    monkeypatch.setattr(web, "_is_public", lambda address: True)
    assert WebImages(f"https://cdn.example:{canary.port}").get("a.jpg") == PHOTO
    with pytest.raises(StoreError, match="could not be read"):
        WebImages(f"https://other.example:{canary.port}", retry_for_s=0.2).get("a.jpg")
    assert set(asked_for) == {"cdn.example", "other.example"}
    assert len(canary.hits) == 1
