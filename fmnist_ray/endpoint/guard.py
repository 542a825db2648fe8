"""What stands before every request: who asks, how much they send, how slowly; and what responses tell browsers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmnist_ray.config.serve import RequestLimits, is_loopback
from fmnist_ray.endpoint.keys import Keys
from fmnist_ray.endpoint.metrics import Metrics
from fmnist_ray.endpoint.problems import Busy, Problem, problem_response

_LOG = logging.getLogger(__name__)
HOLD = "fmnist_ray.hold"
"""Where the scope of a request has what counts the bytes that are fetched for it, a `naming.Hold`."""
_LINGER_S = 2.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware: refuses early, reads bodies within limits, and counts what came of it."""

    def __init__(self, app: ASGIApp, *, limits: RequestLimits, keys: Keys | None, metrics: Metrics) -> None:
        self._app = app
        self._limits = limits
        self._keys = keys
        self._metrics = metrics
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        body = _Body(self, receive)
        scope[HOLD] = body.hold
        status = 499  # the client went before there was an answer

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, body.receive, send_safely)
        except Problem as problem:
            await self._refuse(problem, body, scope, send_safely)
        except ClientDisconnect:
            pass  # nobody is there to be told
        except Exception:  # whatever the application raised, its client gets an answer, and the log the traceback
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if status != 499:
                raise  # half an answer is out
            failure = Problem(500, "internal", "The endpoint failed at this request; its log says why.")
            await self._refuse(failure, body, scope, send_safely)
        finally:
            self._held_bytes -= body.num_bytes
            self._metrics.request(scope, status, time.perf_counter() - started)

    async def _refuse(self, problem: Problem, body: _Body, scope: Scope, send: Send) -> None:
        """Send the problem. Where the body is too large, go on reading a while before the connection is closed: a
        connection that is closed on unread bytes is reset, and its client may never see why."""

        async def send_and_linger(message: Message) -> None:
            if problem.status == 413 and message["type"] == "http.response.body":
                await send({**message, "more_body": True})
                await body.discard(_LINGER_S)
                message = {"type": "http.response.body"}
            await send(message)

        await problem_response(problem)(scope, body.receive, send_and_linger)

    def _check(self, scope: Scope) -> None:
        """Refuse whom and what can be refused by the headers alone."""
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if self._keys is None:
            self._check_host(headers.get("host", ""))
        elif path.startswith("/v1/admin/"):
            if not self._keys.allows(headers.get("authorization"), "admin"):
                raise Problem(401, "key", "This needs an administrator's key: send Authorization: Bearer KEY.")
        elif not _is_open(path) and not self._keys.allows(headers.get("authorization"), "classify"):
            raise Problem(401, "key", "This needs a key: send Authorization: Bearer KEY.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.max_body_bytes:
            raise self.too_large()

    def _check_host(self, host: str) -> None:
        """Without keys only this machine may ask, not a web page that made its name point here (DNS rebinding)."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        if not is_loopback(name.strip("[]")):
            raise Problem(
                421, "host", f"This endpoint is for its own machine only, and was asked as {host or 'nobody'}."
            )

    def hold(self, num_bytes: int) -> None:
        """Count bytes of a body that stay in memory until its request is answered."""
        if self._held_bytes + num_bytes > self._limits.max_held_bytes:
            raise Busy("Too many large requests are being read")
        self._held_bytes += num_bytes

    def too_large(self) -> Problem:
        """The body is larger than one may be."""
        limit = self._limits.max_body_bytes
        what = f"The images of one request may have {limit:,} bytes together"
        return Problem(413, "too-large", f"{what}; send fewer at once.")

    @property
    def limits(self) -> RequestLimits:
        """What one request may hold."""
        return self._limits


class _Body:
    """The body of one request as it arrives."""

    def __init__(self, guard: Guard, receive: Receive) -> None:
        self._guard = guard
        self._receive = receive
        self._deadline = time.monotonic() + guard.limits.body_timeout_s
        self._complete = False
        self.num_bytes = 0

    async def receive(self) -> Message:
        """The next message; `Problem` where the body is too large or too slow."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            limit = self._guard.limits.body_timeout_s
            raise Problem(408, "slow", f"The body did not arrive within {limit:g} seconds.") from None
        self.hold(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    def hold(self, num_bytes: int) -> None:
        """Count bytes that belong to this request; `Problem` where it gets too large, or all together do."""
        if self.num_bytes + num_bytes > self._guard.limits.max_body_bytes:
            raise self._guard.too_large()
        self._guard.hold(num_bytes)
        self.num_bytes += num_bytes

    async def discard(self, seconds: float) -> None:
        """Read what still comes, for so long at most, and keep nothing of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._complete:
                    message = await self._receive()
                    self._complete = message["type"] == "http.disconnect" or not message.get("more_body", False)


def _is_open(path: str) -> bool:
    """Whether `path` needs no key: probes, and the page and its parts, which hold nothing that a key protects."""
    return path in ("/", "/healthz", "/readyz") or path.startswith("/page/")
