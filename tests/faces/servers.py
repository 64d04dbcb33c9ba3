"""Real servers, each in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

APP = "tests.faces.served:app"
ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds, on the slowest machine

# Arguments of `python -m`; {port} is where to listen, or {socket}.
ASGI_SERVERS = {
    "uvicorn": f"uvicorn {APP} --port {{port}} --log-level warning",
    "hypercorn": f"hypercorn {APP} --bind 127.0.0.1:{{port}}",
    "granian": f"granian {APP} --interface asgi --host 127.0.0.1 --port {{port}}",
    "gunicorn-uvicorn": f"gunicorn {APP} --bind 127.0.0.1:{{port}} -w 2 -k uvicorn_worker.UvicornWorker",
}
WSGI_SERVERS = {
    "gunicorn-sync": f"gunicorn {APP} --bind 127.0.0.1:{{port}} -w 2",
    "gunicorn-gthread": f"gunicorn {APP} --bind 127.0.0.1:{{port}} -w 2 -k gthread --threads 4",
    "gunicorn-gevent": f"gunicorn {APP} --bind 127.0.0.1:{{port}} -w 2 -k gevent",
    "gunicorn-preload": f"gunicorn {APP} --bind 127.0.0.1:{{port}} -w 2 --preload",
    "waitress": f"waitress --listen=127.0.0.1:{{port}} {APP}",
    "granian": f"granian {APP} --interface wsgi --host 127.0.0.1 --port {{port}}",
}


class Server:
    """A server that runs.

    Attributes:
        face: the framework of the app that it serves.
        port: where it listens on this machine.
        socket: the unix socket where it listens, if its command says so.
        has_workers: whether several processes serve, each of which delivers what it was told.
        is_without_target: whether it says nothing of the request's target, but for the decoded path.
        is_clearing: whether it takes away forwarded headers, and has no name of its own.
    """

    def __init__(self, command: str, environment: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.socket: str = f"{self._folder.name}/socket"
        self._is_unix = "{socket}" in command
        self.face = environment["FACE"]
        self._kept = keep_port()
        self.port: int = self._kept.getsockname()[1]
        self.has_workers = " -w " in command
        self.is_without_target = "--interface wsgi" in command
        self.is_clearing = command.startswith("waitress")
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by `kill`
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command.format(port=self.port, socket=self.socket).split()],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, workers included
        )

    def wait(self) -> None:
        """Wait until it listens."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect(1).close()
                return
            except OSError:
                assert self._process.poll() is None, self.log
                assert time.monotonic() < ends, self.log
                time.sleep(0.02)

    def connect(self, timeout: float = PATIENCE) -> socket.socket:
        """Connect to it as a client."""
        if not self._is_unix:
            return socket.create_connection(("127.0.0.1", self.port), timeout)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(self.socket)
        except OSError:
            connection.close()
            raise
        return connection

    def end(self) -> int:
        """Ask it to end, as a deployment does; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End it with all its workers, whatever they are about."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._log.close()
        self._kept.close()
        self._folder.cleanup()

    @property
    def log(self) -> str:
        """What it has written."""
        self._log.seek(0)
        return self._log.read()


@contextmanager
def serving(command: str, *, face: str, collector: str, outbox: str = "memory", **environment: str) -> Iterator[Server]:
    server = Server(command, {"FACE": face, "COLLECTOR": collector, "OUTBOX": outbox} | environment)
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def keep_port() -> socket.socket:
    """Have a port of this machine for a server to come; until that is closed nobody else is given it.

    The server asks for it by its number, and with SO_REUSEADDR, as all of them do; so the two do not stand in each
    other's way as long as only one listens.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept
