"""How the service listens: connections that send nothing are ended, one address holds so many and no more, and probes have a port of their own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from whyrec.errors import WhyrecError
from whyrec.serve.service import Service

_MOST = 2048  # connections in all
_STILL = 10.0  # seconds without a turn of the event loop after which the process counts as stuck


def configuration(app: Any, service: Service, **more: Any) -> uvicorn.Config:
    """The server's configuration. What X-Forwarded-For says is the gate's to judge (`limits`): uvicorn believes any process of this machine."""
    settings = service.settings
    return uvicorn.Config(
        app, http=guarded(settings.receive_seconds, settings.connections, settings.trusted_proxies), ws="none", proxy_headers=False,
        log_level="warning", access_log=False, server_header=False, limit_concurrency=_MOST, timeout_keep_alive=30,
        timeout_graceful_shutdown=15, lifespan="on", **more,
    )  # fmt: skip


def guarded(seconds: float, most: int, trusted: tuple[str, ...] = ()) -> type[asyncio.Protocol]:
    """The HTTP protocol with a deadline for a request's head, and a limit of open connections of one address (but of trusted proxies)."""
    counts: Counter[str] = Counter()
    networks = [ip_network(network) for network in trusted]

    class Guarded(HttpToolsProtocol):
        """One connection."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Count it, and wait for a head."""
            super().connection_made(transport)
            self._address = self.client[0] if self.client else ""
            self._head: asyncio.TimerHandle | None = None
            counts[self._address] += 1
            if counts[self._address] > most and not any(ip_address(self._address) in network for network in networks):
                transport.abort()
                return
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            """Count it no more."""
            counts[self._address] -= 1
            if not counts[self._address]:
                del counts[self._address]
            self._waited()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            """The first byte of a request: its head is due."""
            super().on_message_begin()
            if self._head is None:
                self._wait()

        def on_headers_complete(self) -> None:
            """The head is there; the body is the gate's to wait for."""
            self._waited()
            super().on_headers_complete()

        def _wait(self) -> None:
            self._head = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

        def _waited(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Guarded


class Pulse:
    """Whether an event loop turns: `beat` is called on it, `still` from anywhere."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        """The loop had its turn."""
        self._last = time.monotonic()

    @property
    def still(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._last


class Probes:
    """/healthz, /readyz and /metrics on a port of their own, by threads of their own: they answer while every other connection is taken.

    /healthz is 503 where the event loop stands still.
    """

    def __init__(self, service: Service, host: str, port: int, pulse: Pulse) -> None:
        probes = self

        class Handler(BaseHTTPRequestHandler):
            """One probe."""

            timeout = 5

            def do_GET(self) -> None:
                status, kind, content = probes.answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Probes are not logged."""

        self.service, self.pulse = service, pulse
        self.server = ThreadingHTTPServer((host, port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, name="whyrec-probes", daemon=True).start()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, kind and content."""
        if path == "/healthz":
            still = self.pulse.still
            return _json(
                200 if still < _STILL else 503,
                {"status": "ok" if still < _STILL else "stuck", "still_seconds": round(still, 3)},
            )
        if path == "/readyz":
            ready = self.service.ready()
            return _json(200 if ready["status"] == "ready" else 503, ready)
        if path == "/metrics":
            try:
                return 200, "text/plain; version=0.0.4", self.service.exposition().encode()
            except WhyrecError as error:
                return _json(503, {"status": "unknown", "detail": str(error)})
        return _json(404, {"status": "no such probe"})

    def close(self) -> None:
        """End."""
        self.server.shutdown()
        self.server.server_close()


def _json(status: int, content: dict[str, Any]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(content).encode()
