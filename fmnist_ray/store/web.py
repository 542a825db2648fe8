"""Images on a web server: read only, from one host that the user named, and never from inside the network by surprise.

The names come from a catalogue, which is not trusted. Against forged requests (SSRF): only names below the place that
the user allowed are asked for; every address that the host's name resolves to must be public, and the very address that
was checked is connected to, so that a name which resolves anew leads nowhere else; redirects are not followed; nothing
is sent besides the request, no cookie, no key; no proxy of the environment is used. A server inside the network must be
named by its address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from fmnist_ray.errors import AccessDeniedError, ImageRejected, NotFoundError, SettingError, TooLargeError
from fmnist_ray.schema import Reason
from fmnist_ray.store.retry import RETRY_FOR_S, TransientError, with_retries

_TIMEOUT = urllib3.Timeout(connect=5, read=20)
_WHOLE_S = 60
"""Seconds for one image, so that a server can't hold a worker by single bytes."""
_PORTS = {"http": 80, "https": 443}
_PART_BYTES = 1 << 16
_CONNECTIONS = 16
_PLACE = re.compile(
    r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[^?#\\\s%]*)?|https?://\[[0-9a-f:]+\](:\d{1,5})?(/[^?#\\\s%]*)?"
)
_HIDDEN = re.compile(r"%2e|%2f|%5c|%00|\\|#", re.IGNORECASE)
"""What a server may take for another path than it looks like."""
_SAFE = "/%?&=+:,;@!$'()*~-._"
_TRANSIENT = (408, 425, 429)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class WebImages:
    """Objects below `https://host/prefix`, or `http://`."""

    def __init__(self, uri: str, *, retry_for_s: float = RETRY_FOR_S) -> None:
        self.uri = uri.rstrip("/")
        if not _PLACE.fullmatch(self.uri):
            raise SettingError(f"{uri} is no place of images; it must look like https://host/path, with no more to it.")
        parts = urlsplit(self.uri)
        self._scheme, self._host, self._port = parts.scheme, str(parts.hostname), parts.port or _PORTS[parts.scheme]
        self._named = _as_address(self._host)
        self._path = parts.path
        self._retry_for_s = retry_for_s
        self._pools: dict[Address, urllib3.HTTPConnectionPool] = {}

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """The whole object. Raises `ImageRejected` where asking could lead elsewhere, `NotFoundError`,
        `AccessDeniedError`, `TooLargeError`, and `StoreError` for a failure that may pass."""
        if _HIDDEN.search(key):
            raise ImageRejected(Reason.NOT_ALLOWED, f"{key[:100]!r} has characters that could hide another path")
        return with_retries(lambda number: self._get(key, max_bytes), budget_s=self._retry_for_s)

    def _get(self, key: str, max_bytes: int | None) -> bytes:
        name = f"{self.uri}/{key}"
        pool = self._pool(self._address())
        netloc = urlsplit(self.uri).netloc
        deadline = time.monotonic() + _WHOLE_S
        try:
            with pool.request(
                "GET",
                quote(f"{self._path}/{key}", safe=_SAFE),
                headers={"Host": netloc, "User-Agent": "fmnist-ray", "Accept-Encoding": "identity"},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=_TIMEOUT,
            ) as answer:
                _check_status(name, answer.status)
                return _read(name, answer, max_bytes, deadline)
        except (HTTPError, OSError) as error:
            raise TransientError(f"{name} could not be read ({type(error).__name__})") from error

    def _address(self) -> Address:
        """The address to connect to, looked up anew for each image, and checked."""
        if self._named is not None:
            return self._named
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise TransientError(f"{self._host} could not be looked up ({error})") from error
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        for address in addresses:
            if not _is_public(address):
                raise ImageRejected(
                    Reason.NOT_ALLOWED, f"{self._host} leads to {address}, which is no public address; see --images"
                )
        return addresses[0]

    def _pool(self, address: Address) -> urllib3.HTTPConnectionPool:
        if address not in self._pools:
            host = str(address)
            self._pools[address] = (
                urllib3.HTTPConnectionPool(host, self._port, maxsize=_CONNECTIONS)
                if self._scheme == "http"
                else urllib3.HTTPSConnectionPool(
                    host,
                    self._port,
                    maxsize=_CONNECTIONS,
                    server_hostname=self._host,
                    assert_hostname=self._host,
                )
            )
        return self._pools[address]


def _as_address(host: str) -> Address | None:
    """The address that a host is written as; other spellings of numbers are refused, since resolvers read them too."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        if last.isdigit() or last.lower().startswith("0x"):
            raise SettingError(f"{host} is neither a name nor an address; write the address as 192.0.2.1.") from None
        return None


def _is_public(address: Address) -> bool:
    """Whether `address` lies outside of every private, local and special network, also within what it may wrap."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if wrapped:
            return _is_public(wrapped)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _check_status(name: str, status: int) -> None:
    if status == 200:
        return
    if 300 <= status < 400:
        raise ImageRejected(Reason.NOT_ALLOWED, f"{name[:200]} redirects elsewhere")
    if status in (401, 403):
        raise AccessDeniedError(f"{name}: the server answers {status}: grant this machine the right to read it.")
    if status >= 500 or status in _TRANSIENT:
        raise TransientError(f"{name}: the server answers {status}")
    raise NotFoundError(f"{name}: the server answers {status}.")


def _read(name: str, answer: urllib3.BaseHTTPResponse, max_bytes: int | None, deadline: float) -> bytes:
    data = bytearray()
    while part := answer.read1(_PART_BYTES):
        data += part
        if max_bytes is not None and len(data) > max_bytes:
            raise TooLargeError(f"{name} has more bytes than the {max_bytes:,} allowed")
        if time.monotonic() > deadline:
            raise TransientError(f"{name} took longer than {_WHOLE_S} s")
    announced = answer.headers.get("Content-Length")
    if announced is not None and announced != str(len(data)):
        raise TransientError(f"{name} ended after {len(data):,} of {announced} bytes")
    return bytes(data)
