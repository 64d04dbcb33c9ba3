"""What a worker says of its health."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from passerby import Tracking
from passerby.cli.outbox.location import CommandError
from passerby.cli.worker import health
from passerby.cli.worker.health import serving_health
from tests.making import PATIENCE, eventually, let_go
from tests.running import running

from .conftest import SHOP, Record
from .receiver import Receiver
from .recording import make_tracking

get = partial(httpx.get, timeout=PATIENCE)


@pytest.fixture
def tracking(receiver: Receiver, directory: Path) -> Iterator[Tracking]:
    """One that delivers."""
    one = make_tracking(directory, receiver.url, send_in_tests=True)
    one.delivery.start(delivers=True)
    eventually(lambda: one.delivery.is_running)
    yield one
    let_go(one)


@pytest.fixture
def url(tracking: Tracking) -> Iterator[str]:
    with serving_health(("127.0.0.1", 0), tracking) as url:
        assert url is not None
        yield url


def test_of_a_worker(receiver: Receiver, store: Record) -> None:
    store("one", "two")
    with running(*SHOP, "--health", "127.0.0.1:0") as worker:
        url = worker.wait_for(r"; health on (http://127\.0\.0\.1:\d+)$")[1]
        receiver.wait_for("one", "two")
        eventually(lambda: get(f"{url}/livez").is_success)
        assert get(f"{url}/readyz").json()["status"] == "ok"
        assert worker.end(signal.SIGTERM) == 0


def test_liveness(url: str) -> None:
    answer = get(f"{url}/livez")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"status": "ok", "delivery": True, "exchange_seconds": answer.json()["exchange_seconds"]}


def test_readiness_has_counts_and_no_personal_data(
    url: str, receiver: Receiver, store: Record, tracking: Tracking
) -> None:
    store("basket of visitor 7")
    receiver.wait_for("basket of visitor 7")
    eventually(lambda: tracking.stats().destinations["webhook"].delivered == 1)
    answer = get(f"{url}/readyz")

    assert answer.status_code == 200
    said = answer.json()
    assert said.pop("exchange_seconds") >= 0
    counts = {"waiting": 0, "held": 0, "dead": 0, "delivered": 1, "breaker": "closed"}
    assert said == {"status": "ok", "outbox": "ok", "delivery": True, "destinations": {"webhook": counts}}


def test_a_store_that_does_not_work_is_not_ready_but_alive(url: str, directory: Path) -> None:
    while not directory.is_file():  # the app may make it anew in between
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(IsADirectoryError):
            directory.write_text("no directory")
    answers: list[httpx.Response] = []

    def is_unready() -> bool:
        answers[:] = [get(f"{url}/readyz"), get(f"{url}/livez")]
        return answers[0].status_code == 503

    eventually(is_unready)
    assert answers[0].json()["status"] == "failed"
    assert answers[0].json()["outbox"].startswith("degraded: ")
    assert answers[1].status_code == 200


def test_a_thread_that_has_ended_is_not_alive(url: str, tracking: Tracking) -> None:
    let_go(tracking)

    assert get(f"{url}/livez").status_code == 503
    assert get(f"{url}/livez").json()["delivery"] is False


def test_an_exchange_that_is_stuck_is_not_alive(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STUCK", -1.0)  # every exchange lasts longer

    assert get(f"{url}/livez").status_code == 503
    assert get(f"{url}/readyz").status_code == 503


def test_other_pages_and_methods(url: str) -> None:
    missing = get(f"{url}/")
    head = httpx.head(f"{url}/livez?verbose", timeout=PATIENCE)

    assert (missing.status_code, json.loads(missing.content)) == (
        404,
        {"error": "found no such page, expected /livez or /readyz"},
    )
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert httpx.post(f"{url}/livez", timeout=PATIENCE).status_code == 501
    assert "Python" not in head.headers["server"]


def test_listens_on_ipv6(tracking: Tracking) -> None:
    try:
        with serving_health(("::1", 0), tracking) as url:
            assert url is not None
            assert url.startswith("http://[::1]:")
            assert get(f"{url}/livez").status_code == 200
    except CommandError as refused:
        assert "cannot listen on ::1:0" in str(refused)  # noqa: PT017 - a machine without IPv6


def test_without_an_address(tracking: Tracking) -> None:
    with serving_health(None, tracking) as url:
        assert url is None
