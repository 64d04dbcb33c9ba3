"""Of what happens again and again the log has one line a minute (U14, U18)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.logs import INTERVAL, RateLimitFilter, get_logger
from tests.making import BROWSER_ID, MakeTracking, eventually


class Now:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def log(now: Now, caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    log, quiet = logging.getLogger("passerby.test_logs"), RateLimitFilter(now)
    log.addFilter(quiet)
    with caplog.at_level(logging.DEBUG, "passerby.test_logs"):
        yield log
    log.removeFilter(quiet)


def test_one_line_a_minute_that_says_how_many_there_were(
    log: logging.Logger, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100_000):
        log.warning("dropped: %s", "full")
        now.time += 0.001953125  # 512 a second
    assert caplog.messages == ["dropped: full", *["dropped: full (and 30719 more like it)"] * 3]


def test_ids_and_numbers_make_no_other_reason(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        log.error("event %s is a dead letter at sitecore: status %d", uuid4(), 400 + number)
    assert len(caplog.messages) == 1


def test_each_reason_has_a_line_of_its_own(log: logging.Logger, now: Now, caplog: pytest.LogCaptureFixture) -> None:
    for destination in ("one", "two", "one"):
        log.warning("%s does not answer", destination)
    now.time += INTERVAL
    log.warning("%s does not answer", "one")
    assert caplog.messages == [
        "one does not answer",
        "two does not answer",
        "one does not answer (and 1 more like it)",
    ]


def test_what_is_no_trouble_is_not_left_out(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        log.info("sitecore answers again")
    assert len(caplog.messages) == 3


def test_an_exception_keeps_its_traceback(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        try:
            raise KeyError("why")
        except KeyError:
            log.exception("it failed inside")
    (record,) = caplog.records
    assert record.exc_info is not None


def test_however_many_reasons_there_are_memory_is_bounded(log: logging.Logger, now: Now) -> None:
    quiet = RateLimitFilter(now)
    for number in range(5_000):
        name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        quiet.filter(logging.LogRecord("passerby", logging.WARNING, "", 0, name, None, None))
    assert len(quiet._seen) <= 500


def test_threads_at_once(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    def repeat() -> None:
        for _ in range(100):
            log.warning("again")

    threads = [threading.Thread(target=repeat) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caplog.messages == ["again"]


def test_all_our_loggers_are_sparing() -> None:
    assert get_logger("passerby.delivery") is logging.getLogger("passerby.delivery")
    assert len(get_logger("passerby.delivery").filters) == 1


def test_an_app_that_tells_what_cannot_be_sent(make_tracking: MakeTracking, caplog: pytest.LogCaptureFixture) -> None:
    tracking = make_tracking(on_invalid="drop")
    for _ in range(1_000):
        tracking.for_visitor(BROWSER_ID).event("")
    assert tracking.stats().destinations["sitecore"].dropped == {"invalid": 1_000}
    assert len([record for record in caplog.records if record.name == "passerby"]) == 1


def test_a_service_that_refuses_everything(
    make_tracking: MakeTracking, collector: CollectorServer, caplog: pytest.LogCaptureFixture
) -> None:
    collector.fail("events", times=1_000, status=400)
    tracking: Tracking = make_tracking()
    for _ in range(50):
        tracking.for_visitor(str(uuid4())).event("ADD")
    eventually(lambda: tracking.stats().destinations["sitecore"].dead == 50)
    (record,) = [record for record in caplog.records if "dead letter" in record.getMessage()]
    assert record.levelno == logging.ERROR
