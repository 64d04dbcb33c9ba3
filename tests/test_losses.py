"""What is lost is said and counted, whatever the app does with its logs; what is on disk is not called lost."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.collector import CollectorServer
from passerby.logs import get_logger, log_loss, rate_limit
from passerby.outbox.sqlite import SqliteStore
from tests.delivery.test_process import Script, number_kept
from tests.making import BROWSER_ID, MakeTracking, dropped, eventually
from tests.outbox.process import Process


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX", "memory")


NOWHERE = "http://localhost:9"
LOST = "7 events were not delivered before exit and are lost with this process"

STUCK_DISK = """
from passerby.outbox.sqlite import SqliteStore
exchange = SqliteStore.exchange
def exchange_once(self, batch):
    if ready.is_set():
        threading.Event().wait()
    return exchange(self, batch)
SqliteStore.exchange = exchange_once
ready = threading.Event()
tell("script", {stored})
assert tracking.stats().unstored == 0
ready.set()
tell("script", {unstored})
"""


@pytest.mark.parametrize(
    "configuration",
    [
        "",
        "{'version': 1}",
        "{'version': 1, 'disable_existing_loggers': True}",
        "{'version': 1, 'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['h']}}",
        "{'version': 1, 'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'loggers': {'a': {'handlers': ['h']}}}",
    ],
    ids=["nothing", "nothing said", "disabled", "root", "another logger"],
)
def test_the_exit_says_what_is_lost_whatever_the_app_does_with_logs(tmp_path: Path, configuration: str) -> None:
    text = "tell('script', 7)\nimport logging.config\n"
    if configuration:
        text += f"logging.config.dictConfig({configuration})\n"

    _, _, err = Script(tmp_path, text, NOWHERE, 0.2).end()

    assert [line for line in err.splitlines() if "exit" in line] == [LOST]


def test_the_exit_says_so_under_djangos_logging(tmp_path: Path) -> None:
    text = """
        tell('script', 7)
        import django
        from django.conf import settings
        settings.configure(LOGGING={"version": 1, "handlers": {"h": {"class": "logging.StreamHandler"}},
            "loggers": {"django": {"handlers": ["h"]}}})
        django.setup()
    """
    _, _, err = Script(tmp_path, text, NOWHERE, 0.2).end()
    assert LOST in err


def test_an_app_that_wants_no_logs_gets_none(tmp_path: Path) -> None:
    for order in ("logging.getLogger().setLevel(logging.CRITICAL)", "logging.getLogger('passerby').propagate = False"):
        _, _, err = Script(tmp_path, f"import logging\ntell('script', 7)\n{order}\n", NOWHERE, 0.2).end()
        assert err == ""


@pytest.mark.parametrize(("stored", "unstored"), [(3, 2), (0, 4), (5, 0), (1, 1)])
def test_the_exit_says_what_is_on_disk_and_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: int, unstored: int
) -> None:
    monkeypatch.setenv("OUTBOX", f"sqlite://{tmp_path}/outbox")

    _, _, err = Script(tmp_path, STUCK_DISK.format(stored=stored, unstored=unstored), NOWHERE, 0.3).end()

    if not unstored:
        assert "lost" not in err
    elif not stored:
        assert f"{unstored} events were not delivered before exit and are lost with this process" in err
    else:
        assert (
            f"{stored + unstored} events were not delivered before exit: {stored} are on disk for the next process, "
            f"{unstored} are not and are lost with this process"
        ) in err
    assert number_kept(f"sqlite://{tmp_path}/outbox") == stored


def test_held_events_count_among_the_lost(tmp_path: Path) -> None:
    text = f"tracking.for_visitor('{BROWSER_ID}').add_to_event_queue('ADD')\n"
    _, _, err = Script(tmp_path, text, NOWHERE, 0.2).end()
    assert "1 events were not delivered before exit and are lost with this process" in err


def test_close_says_what_is_left(
    make_tracking: MakeTracking, collector: CollectorServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector.fail("events")
    for outbox, words in (
        ("memory", "2 events were not delivered before close and are lost if the process ends now"),
        (
            f"sqlite://{tmp_path}/outbox",
            "2 events were not delivered before close; they are on disk for the next process",
        ),
    ):
        tracking = make_tracking(outbox=outbox)
        tracking.for_visitor(BROWSER_ID).event("ADD")
        tracking.for_visitor(BROWSER_ID).event("ADD")
        with caplog.at_level(logging.INFO, "passerby"):
            assert tracking.close(0.05) == 2
        assert words in caplog.messages


def test_stats_say_what_would_be_lost(make_tracking: MakeTracking, collector: CollectorServer, tmp_path: Path) -> None:
    collector.fail("events")
    tracking = make_tracking(retry_base=600)
    tracking.for_visitor(BROWSER_ID).event("ADD")
    tracking.for_visitor(BROWSER_ID).add_to_event_queue("ADD")
    assert tracking.stats().unstored == 2

    tracking = make_tracking(retry_base=600, outbox=f"sqlite://{tmp_path}/file/outbox")
    (tmp_path / "file").touch()  # in the way, from after the start on
    for _ in range(3):
        tracking.for_visitor(BROWSER_ID).event("ADD")
    assert tracking.stats().unstored == 3
    (tmp_path / "file").unlink()
    eventually(lambda: tracking.stats().unstored == 0)
    assert tracking.stats().destinations["sitecore"].pending == 3


@pytest.fixture
def disabled() -> Iterator[None]:
    """Our loggers as `dictConfig` leaves them."""
    ours = [logger for name in list(logging.root.manager.loggerDict) if name.startswith("passerby")
            for logger in [logging.getLogger(name)]]  # fmt: skip
    for logger in ours:
        logger.disabled = True
    rate_limit.clear()
    yield
    for logger in ours:
        logger.disabled = False


@pytest.mark.usefixtures("disabled")
def test_a_full_outbox_is_said_by_disabled_loggers_once_a_minute(
    make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
) -> None:
    collector.fail("events")
    tracking = make_tracking(max_events=1)
    for _ in range(50):
        tracking.for_visitor(BROWSER_ID).event("ADD")

    assert dropped(tracking) == {"full": 49}
    assert [record.name for record in caplog.records] == ["passerby.outbox"]
    assert caplog.messages[0].startswith("the outbox is full: events are dropped and counted")


def test_ours_are_silent_where_nothing_is_configured() -> None:
    handlers = logging.getLogger("passerby").handlers
    assert any(type(handler) is logging.NullHandler for handler in handlers)


def test_a_loss_goes_where_the_app_has_our_logs(caplog: pytest.LogCaptureFixture) -> None:
    log: Any = get_logger("passerby.test_losses")
    rate_limit.clear()
    log_loss(log, "%d lost", 5)
    assert [(one.name, one.levelname, one.message) for one in caplog.records] == [
        ("passerby.test_losses", "WARNING", "5 lost")
    ]


@pytest.mark.usefixtures("disabled")
def test_a_damaged_file_is_said_by_disabled_loggers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(tmp_path / "outbox")
    Process(store).put("ada")
    store.close()
    store.directory.database.write_bytes(b"no database" * 1_000)

    successor = SqliteStore(tmp_path / "outbox")
    Process(successor).put("ben")
    successor.close()

    assert any("its events are read from there" in message for message in caplog.messages)
