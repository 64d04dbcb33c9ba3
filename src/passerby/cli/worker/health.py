"""Liveness and readiness of a worker, over plain HTTP in threads of its own: counts only, no personal data."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from typing import Any, cast

from ...client.tracking import Tracking
from ..outbox.location import CommandError

STUCK = 60.0  # seconds of one exchange with the store, after which the worker is not alive
PATHS = ("/livez", "/readyz")
_REQUEST_TIMEOUT = 5.0  # seconds

Report = tuple[bool, Mapping[str, Any]]


def liveness(tracking: Tracking) -> Report:
    """Return whether the delivery runs and the store's exchange is not stuck. Waits for nothing."""
    delivery = tracking.delivery
    is_alive, exchange = delivery.is_running, delivery.exchange_seconds
    return is_alive and exchange < STUCK, {"delivery": is_alive, "exchange_seconds": round(exchange, 3)}


def readiness(tracking: Tracking) -> Report:
    """Return whether the store works, with the counts of all processes."""
    stats = tracking.stats()
    destinations = {
        name: {
            "waiting": each.pending - each.held,
            "held": each.held,
            "dead": each.dead,
            "delivered": each.delivered,
            "breaker": each.breaker,
        }
        for name, each in stats.destinations.items()
    }
    is_alive, said = liveness(tracking)
    return is_alive and stats.outbox == "ok", {"outbox": stats.outbox, **said, "destinations": destinations}


class _HealthHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version = "passerby"
    sys_version = ""
    timeout = _REQUEST_TIMEOUT

    def do_GET(self) -> None:
        """Answer with a report."""
        path = self.path.partition("?")[0]
        if path not in PATHS:
            self._answer(404, {"error": f"found no such page, expected {' or '.join(PATHS)}"})
            return
        tracking = cast("_HealthServer", self.server).tracking
        is_well, said = (liveness if path == "/livez" else readiness)(tracking)
        self._answer(200 if is_well else 503, {"status": "ok" if is_well else "failed", **said})

    do_HEAD = do_GET  # noqa: N815 - named by the base class

    def _answer(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a probe comes every few seconds."""


class _HealthServer(ThreadingHTTPServer):
    """Serves the reports of one tracking."""

    daemon_threads = True

    def __init__(self, host: str, port: int, tracking: Tracking) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.tracking = tracking
        super().__init__((host, port), _HealthHandler)

    def server_bind(self) -> None:
        """Bind, without a look-up of this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has gone."""


@contextmanager
def serving_health(address: tuple[str, int] | None, tracking: Tracking) -> Generator[str | None]:
    """Serve until the end of the block, and yield the address. Raises CommandError if it cannot listen."""
    if address is None:
        yield None
        return
    host, port = address
    try:
        server = _HealthServer(host, port, tracking)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror or error}). Choose another with --health"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="passerby-health", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
