"""How the site is served: uvicorn, and gunicorn with its kinds of workers."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from .process import PATIENCE, Process
from .scene import Scene


def _keep_port(where: Scene) -> int:
    """Return a port of this machine for a server to come, which no other process is given as long as the scene is set.

    The server asks for it by its number, and with SO_REUSEADDR; so it may have what is bound and not listened at.
    """
    kept = socket.socket()
    where.until_its_end.enter_context(kept)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    port: int = kept.getsockname()[1]
    return port


def begin_uvicorn(where: Scene, *options: str, **site: object) -> tuple[Process, int]:
    """Serve the site by uvicorn; return its process and its port when it answers."""
    port = _keep_port(where)
    command = ["uvicorn", "--factory", "chaos.site:make_asgi", "--port", str(port), "--no-access-log", *options]
    process = where.begin_site(*command, **site)
    wait_until_served(process, port)
    return process, port


def begin_gunicorn(where: Scene, kind: str, workers: int, **site: object) -> tuple[Process, int]:
    """Serve the site by gunicorn, the app loaded before it forks."""
    port = _keep_port(where)
    factory = "make_asgi()" if "uvicorn" in kind else "make_wsgi()"
    options = ["--preload", "-w", str(workers), "-k", kind, "-b", f"127.0.0.1:{port}", "--log-level", "warning"]
    process = where.begin_site("gunicorn", f"chaos.site:{factory}", *options, **site)
    wait_until_served(process, port)
    return process, port


def wait_until_served(process: Process, port: int) -> None:
    """Wait until a server listens. Raises RuntimeError if none does."""
    gives_up = time.monotonic() + PATIENCE
    while time.monotonic() < gives_up and process.is_running:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server does not listen; its last words were {process.last_words}")


def children_of(process: Process) -> list[int]:
    """The processes that a process has begun, the oldest first."""
    pid = process.popen.pid
    return sorted(map(int, re.findall(r"\d+", Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii"))))
