"""What every request must pass before it is answered: host, key and scope, rate, size, kind of content, time.

One layer of plain ASGI around the application, so that nothing is answered without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any

from whyrec.errors import WhyrecError
from whyrec.serve.problems import Problem, problem_of
from whyrec.serve.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Quick = Callable[[bytes, str | None, str], Awaitable[bytes]]  # body, idempotency key, owner
OWNER = "whyrec.owner"  # of a request: whose keys for repetitions it shares
_OWN_CASE = re.compile(r"/v1/cases/[^/]*/users(/|$)")
_KEY = re.compile(rb"[\x21-\x7e]{1,150}")
log = logging.getLogger("whyrec.serve")

HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    }.items()
)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
# What proxies write into a call that they pass on; HTTP/1.0 is what nginx speaks where it is told nothing.
_FORWARDED = (
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip", "via", "x-client-ip",
    "cf-connecting-ip", "true-client-ip", "x-envoy-external-address", "x-original-forwarded-for",
)  # fmt: skip
_PATIENCE = 0.25  # seconds that a request waits for keys to be read again
_OPEN = frozenset({"/healthz", "/readyz"})


def scope_of(method: str, path: str) -> str | None:
    """The scope of a key that a request needs; None where it needs no key (probes, and the pages, which hold no data)."""
    if path in _OPEN or (method in ("GET", "HEAD") and not path.startswith(("/v1/", "/metrics", "/openapi"))):
        return None
    if path == "/metrics":
        return "metrics"
    if path == "/v1/events" and method == "POST":
        return "events"
    if path in ("/v1/users", "/v1/events", "/v1/policies/log") or path.startswith("/v1/users/") or _OWN_CASE.match(path):
        return "people"
    if (path == "/v1/items" and method != "GET") or (path.startswith("/v1/models") and method != "GET"):
        return "admin"
    return "ask"


class Gate:
    """The layer. public: whether other hosts may come, which takes a key; hosts: names by which the server may be called.

    quick: by path, what answers the body of a POST without the framework: the two endpoints that are called most, where the
    framework would take as long as the answer.
    """

    def __init__(
        self,
        app: Any,
        service: Service,
        *,
        public: bool = False,
        hosts: frozenset[str] = LOOPBACK,
        quick: Mapping[str, Quick] | None = None,
    ) -> None:
        self.app, self.service, self.public, self.hosts = app, service, public, hosts
        self.quick = dict(quick or {})
        self.calls, self.inside = Calls(), 0
        self.proxies = [ip_network(network) for network in service.settings.trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        settings, metrics = self.service.settings, self.service.metrics
        start, status, route = time.perf_counter(), 500, None
        began = False
        complete = False

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal began, status
            if message["type"] == "http.response.start":
                began, status = True, int(message["status"])
                message["headers"] = [*message.get("headers", ()), *HEADERS]
                kept = (
                    b"no-store" if scope["path"].startswith(("/v1/", "/metrics")) else b"no-cache"
                )  # pages: asked about each time
                message["headers"].append((b"cache-control", kept))
            await send(message)

        problem: Problem | None = None
        self.inside += 1
        metrics.set("whyrec_in_flight", float(self.inside))
        try:
            await self._admit(scope)
            async with asyncio.timeout(settings.receive_seconds):
                body = await _body(receive, settings.most_bytes)
            complete = True
            async with asyncio.timeout(settings.seconds):
                quick = self._quick(scope)
                if quick is None:
                    await self.app(scope, _replayed(body, receive), told)
                else:
                    route = scope["path"]
                    await _send(await quick[0](body, quick[1], scope[OWNER]), told)
        except Problem as found:
            problem = found
        except WhyrecError as error:
            problem = problem_of(error)
        except TimeoutError:
            if complete:
                problem = Problem(504, "too-slow", f"the request took longer than {settings.seconds:g} s")
            else:
                problem = Problem(408, "slow-request", f"the request did not come in within {settings.receive_seconds:g} s")
                problem.headers["connection"] = "close"
        except Exception:
            log.exception("a defect while answering %s %s", scope["method"], scope.get("path"))
            problem = Problem(500, "defect", "a defect of whyrec; the server's log has the details")
        if problem is not None and not began:
            await problem.response()(scope, receive, told)
        elif problem is not None:
            log.error("an answer was cut short: %s", problem.detail)
        self.inside -= 1
        route = route or getattr(scope.get("route"), "path", None) or "other"
        took = time.perf_counter() - start
        metrics.observe(route, took)
        metrics.add("whyrec_requests_total", route=route, status=str(status))

    def _quick(self, scope: Scope) -> tuple[Quick, str | None] | None:
        """What answers at once, with the idempotency key; the framework says what is wrong with a key that is none."""
        quick = self.quick.get(scope["path"]) if scope["method"] == "POST" else None
        keys = [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if quick is None or len(keys) > 1 or not all(_KEY.fullmatch(key) for key in keys):
            return None
        return quick, keys[0].decode() if keys else None

    async def _admit(self, scope: Scope) -> None:
        """Raise the Problem for which a request is turned away."""
        scope[OWNER] = ""
        keys = self.service.keys
        if keys.stale and scope["path"] not in _OPEN:
            with contextlib.suppress(WhyrecError):  # a store that does not answer: the keys that are known go on
                await self.service.reads(keys.refresh, _PATIENCE)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if not self.public and name not in self.hosts:
            raise Problem(421, "wrong-host", "this server answers to localhost; see --host and --allow-host for more")
        origin = headers.get("origin")
        if origin is not None and origin.split("://", 1)[-1] != host:
            raise Problem(403, "other-origin", "pages of other sites may not call this service")
        wanted = scope_of(method, path)
        caller = self._caller(headers, wanted, scope)
        if self.calls.count(caller) > self.service.settings.rate:
            problem = Problem(
                429, "too-many", f"more than {self.service.settings.rate} calls in a second; wait a second"
            )
            problem.headers["retry-after"] = "1"
            raise problem
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.service.settings.most_bytes:
            raise Problem(
                413, "too-large", f"a request holds at most {self.service.settings.most_bytes:,} bytes; send several"
            )
        has_body = int(length) > 0 or "transfer-encoding" in headers
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if method in ("POST", "PUT", "PATCH") and has_body and kind != "application/json":
            raise Problem(415, "not-json", "send JSON with the header Content-Type: application/json")

    def _caller(self, headers: Mapping[str, str], wanted: str | None, scope: Scope) -> str:
        """Who calls: a key's id, or an address; a Problem where a key is needed and not there."""
        peer = str((scope.get("client") or ("unknown",))[0])
        trusted = self._trusted(peer)
        address = self._origin(peer, headers) if trusted else peer
        keys = self.service.keys
        if wanted is None:
            return address
        if not (self.public or trusted or keys.any()):
            if scope.get("http_version") == "1.0" or any(name in headers for name in _FORWARDED):
                raise Problem(
                    403, "forwarded", "this call came through a proxy, and this server has no key yet: without keys it answers this machine alone; "
                    "make a key with whyrec serve keys add, and name the proxy with --trusted-proxy ADDRESS",
                )  # fmt: skip
            return address
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        key = keys.check(presented.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            # Wrong keys count, too: guesses are limited like calls.
            if self.calls.count(f"denied:{address}") > 50:
                raise Problem(429, "too-many", "too many requests without a valid key; wait a second")
            problem = Problem(
                401, "no-key", "send the header Authorization: Bearer KEY; make one with whyrec serve keys add"
            )
            problem.headers["www-authenticate"] = "Bearer"
            raise problem
        if wanted not in key.scopes:
            raise Problem(403, "scope", f"this key may not do that: it has no scope {wanted!r}", scope=wanted)
        scope[OWNER] = key.owner
        return key.id

    def _trusted(self, address: str) -> bool:
        """Whether an address is that of a proxy of ours."""
        if not self.proxies:
            return False
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.proxies)

    def _origin(self, peer: str, headers: Mapping[str, str]) -> str:
        """Who called the proxies of ours: the last address of X-Forwarded-For that is none of them; what stands before it anybody may write."""
        for name in reversed(headers.get("x-forwarded-for", "").split(",")):
            if name.strip() and not self._trusted(name.strip()):
                return name.strip()[:64]
        return peer


class Calls:
    """How often somebody called in this second. Each server counts for itself: no network stands before a request."""

    def __init__(self) -> None:
        self._second, self._calls = 0, dict[str, int]()

    def count(self, who: str) -> int:
        """Calls of somebody in this second, this one included."""
        second = int(time.time())
        if second != self._second:
            self._second, self._calls = second, {}
        count = self._calls[who] = self._calls.get(who, 0) + 1
        return count


async def _send(content: bytes, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _body(receive: Receive, most: int) -> bytes:
    """The whole body of a request; a Problem as soon as it is larger than `most`, whatever length was announced."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Problem(400, "cut-short", "the connection ended before the request did")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise Problem(413, "too-large", f"a request holds at most {most:,} bytes; send several")
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then whatever else comes."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
