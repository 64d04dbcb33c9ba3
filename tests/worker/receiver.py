"""A destination for workers: it notes each event that arrives, and answers when the test lets it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.making import PATIENCE, eventually


class Receiver:
    """Serves in threads of this process.

    Attributes:
        is_open: requests are answered while it is set, and wait otherwise.
        status: the answer.
    """

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.status = 200
        self._lock = threading.Lock()
        self._begun: list[str] = []
        self._steps: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/events"

    @property
    def begun(self) -> list[str]:
        """The steps whose requests have come, in their order, each time that they came."""
        with self._lock:
            return list(self._begun)

    @property
    def steps(self) -> list[str]:
        """The steps whose requests were answered with success."""
        with self._lock:
            return list(self._steps)

    def wait_for(self, *steps: str) -> None:
        """Wait until these have been answered."""
        eventually(lambda: set(steps) <= set(self.steps))

    def close(self) -> None:
        self.is_open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: bytes) -> int:
        steps = [event["data"]["step"] for event in events_of(body)]
        with self._lock:
            self._begun += steps
        self.is_open.wait(PATIENCE)
        if self.status == 200:
            with self._lock:
                self._steps += steps
        return self.status


def events_of(body: bytes) -> list[Any]:
    events: list[Any] = json.loads(body)["data"]["events"]
    return events


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status = receiver.take(self.rfile.read(int(self.headers["content-length"])))
            try:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:  # the caller has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
