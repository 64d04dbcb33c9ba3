"""The command: what it says, what it leaves behind, and that it ends."""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from passerby.demo.outbox import DemoOutbox
from tests.running import running

from .playing import SYSTEMS, Demo, browsing, playing


def test_it_ends_while_a_page_is_open(demo: Demo, laptop: httpx.Client) -> None:
    """A page that listens, connections that are kept, one that says nothing, and a request that is never finished."""
    laptop.get("/")
    silent, unfinished = (_connect(demo.laptop) for _ in range(2))
    unfinished.sendall(b"POST /cart HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nproduct=")
    with (
        silent,
        unfinished,
        _connect(demo.collector) as waiting,
        httpx.stream("GET", f"{demo.collector}/_collector/stream", timeout=30) as stream,
    ):
        waiting.sendall(b"POST /v1.2/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        lines = stream.iter_lines()
        assert any(line.startswith("event: ") for line in lines)
        assert demo.command.end(signal.SIGINT) == 0
        list(lines)

    assert demo.ledger() == dict.fromkeys(SYSTEMS, (1, 1, 0, 0, 0))
    assert demo.command.complaints == []
    assert not Path(demo.outbox).exists()


def test_the_collector_shows_how_the_outbox_is(demo: Demo, laptop: httpx.Client) -> None:
    laptop.get("/")
    demo.command.wait_for(r"\$pageview")

    outbox = None
    while outbox is None or not all(each["delivered"] for each in outbox["destinations"].values()):
        outbox = demo.ask("health")["outbox"]
    assert outbox["state"] == "ok"
    assert outbox["destinations"].keys() == set(SYSTEMS)


def test_what_is_left_is_kept_and_said(demo: Demo, laptop: httpx.Client) -> None:
    httpx.post(f"{demo.collector}/_collector/faults", json={"route": "pipelines", "status": 503})
    laptop.get("/")
    demo.command.wait_for("VIEW +")

    assert demo.command.end(signal.SIGINT) == 0
    assert demo.ledger()["customerio"] == (1, 0, 1, 0, 0)
    directory = demo.command.lines[-1].rpartition(" ")[2]
    assert demo.command.lines[-1].endswith(f"passerby outbox ls --outbox {demo.outbox}")
    with running("outbox", "ls", "--outbox", directory) as outbox:
        outbox.wait_for("customerio +1 ")
    shutil.rmtree(directory)


def test_an_outbox_that_is_named_is_kept_and_taken_up_again(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    with playing("--outbox", str(directory)) as demo, browsing(demo.laptop) as laptop:
        httpx.post(f"{demo.collector}/_collector/faults", json={"route": "all", "status": 503})
        laptop.get("/")
        demo.command.wait_for("503")
        assert demo.command.end(signal.SIGINT) == 0
    with playing("--outbox", f"sqlite://{directory}") as demo:
        for _ in SYSTEMS:
            demo.command.wait_for(r"  Home$")
        assert demo.command.end(signal.SIGINT) == 0

    assert directory.is_dir()
    assert not demo.command.lines[-1].startswith("Not everything")


def test_an_outbox_that_is_gone_has_nothing_left_in_it() -> None:
    outbox = DemoOutbox(None)
    assert outbox.is_empty
    outbox.close()
    assert not outbox.directory.exists()
    assert outbox.is_empty


@pytest.mark.parametrize(
    ("outbox", "code", "words"),
    [
        ("memory", 2, '--outbox is "memory"'),
        ("redis://localhost", 2, "--outbox: expected a directory"),
        (__file__, 1, "outbox"),
    ],
)
def test_an_outbox_that_is_none_is_named_in_one_line(outbox: str, code: int, words: str) -> None:
    with running("demo", "--port", "0", "--collector-port", "0", "--outbox", outbox) as command:
        assert command.wait() == code

    (line,) = command.complaints
    assert line.startswith("passerby demo: ")
    assert words in line
    assert command.lines == []


def _connect(origin: str) -> socket.socket:
    address = urlsplit(origin)
    assert address.port is not None
    return socket.create_connection(("127.0.0.1", address.port), timeout=30)
