"""A small HTTP server on loopback that keeps what it receives and answers as it is asked to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.making import PATIENCE, POLL


class Request(NamedTuple):
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Receiver:
    """Answers the statuses in turn, the last one again and again.

    Attributes:
        requests: what was received.
    """

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        self.requests: list[Request] = []
        self._statuses = list(statuses or (200,))
        self._headers = headers or {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append(Request(self.path, headers, body))
                statuses = receiver._statuses
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                for name, value in receiver._headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait_for(self, is_so: Callable[[list[Request]], bool]) -> list[Request]:
        until = time.monotonic() + PATIENCE
        while not is_so(self.requests) and time.monotonic() < until:
            time.sleep(POLL)
        assert is_so(self.requests), [request.path for request in self.requests]
        return self.requests

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
