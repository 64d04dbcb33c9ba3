"""Whatever an app's own object raises while a call reads it becomes ValidationError, or a count where that is set."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from django.utils.functional import SimpleLazyObject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from passerby import CustomerIO, Datalyr, Sitecore, Tracking, ValidationError
from tests.making import BROWSER_ID, NAVIGATION, make_environ, make_scope

MARKER = "a-value-that-nobody-may-see"
ADDRESS = "http://localhost:9"
ERRORS: list[type[Exception]] = [
    RuntimeError, TypeError, AttributeError, KeyError, ValueError, RecursionError, MemoryError, StopIteration,
    OSError, UnicodeError, ZeroDivisionError, AssertionError,
]  # fmt: skip


def raising(error: type[BaseException]) -> Callable[..., NoReturn]:
    def act(*args: Any, **options: Any) -> NoReturn:
        raise error(MARKER)

    return act


def hostile(error: type[BaseException]) -> dict[str, Any]:
    """Objects that raise, by how."""
    act = raising(error)

    def of(*bases: type, **members: Any) -> Any:
        return type("Hostile", bases, members)

    mapping = {"__getitem__": act, "__iter__": act, "__len__": act}
    zone = of(tzinfo, utcoffset=act, dst=act, tzname=act)()
    return {
        "class": of(__class__=property(act))(),
        "str": of(str, casefold=act, __str__=act, strip=act, isprintable=act)("text"),
        "text-like": of(casefold=lambda self: "text", __str__=act)(),
        "int": of(int, __int__=act, __index__=act, __lt__=act, __le__=act, __ge__=act)(5),
        "float": of(float, __float__=act, __ge__=act, __le__=act, __lt__=act)(5.5),
        "decimal": of(Decimal, is_finite=act, __float__=act, __int__=act, __eq__=act, __hash__=act)("5.5"),
        "datetime": of(datetime, isoformat=act, timestamp=act, year=property(act))(2026, 1, 1),
        "zone": datetime(2026, 1, 1, tzinfo=zone),
        "mapping": of(Mapping, **mapping)(),
        "items": of(dict, items=act, __iter__=act)(a=1),
        "list": of(list, __iter__=act, __len__=act)([1]),
        "bool": of(__bool__=act, __eq__=act, __hash__=act)(),
        "getattr": of(__getattr__=act)(),
        "item": of(item=act, shape=())(),
        "isoformat": of(isoformat=act)(),
        "array": of(__array__=act, __iter__=act, __len__=act, shape=(1,))(),
        "lazy": SimpleLazyObject(act),
        "eq": of(__eq__=act, __hash__=act)(),
        "generator": (act() for _ in [1]),
    }


KINDS = sorted(hostile(RuntimeError))
# Where an app's object may stand, of the tracker's calls and of the server object's.
TRACKER_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "page_view": lambda tracker, bad: tracker.page_view(bad),
    "page_view value": lambda tracker, bad: tracker.page_view({"page": bad}),
    "extension": lambda tracker, bad: tracker.page_view(None, bad),
    "extension value": lambda tracker, bad: tracker.page_view(None, {"a": {"b": [bad]}}),
    "extension key": lambda tracker, bad: tracker.page_view(None, Pairs([(bad, 1)])),
    "event type": lambda tracker, bad: tracker.event(bad),
    "event data": lambda tracker, bad: tracker.event("ADD", bad),
    "event value": lambda tracker, bad: tracker.event("ADD", {"a": (bad,)}),
    "identity": lambda tracker, bad: tracker.identity(bad),
    "identifiers": lambda tracker, bad: tracker.identity({"identifiers": bad}),
    "identifier": lambda tracker, bad: tracker.identity({"identifiers": [bad]}),
    "identifier's id": lambda tracker, bad: tracker.identity({"identifiers": [{"id": bad, "provider": "CRM"}]}),
    "expiry": lambda tracker, bad: tracker.identity(
        {"identifiers": [{"id": "1", "provider": "CRM", "expiry_date": bad}]}
    ),
    "dob": lambda tracker, bad: tracker.identity({"identifiers": [{"id": "1", "provider": "CRM"}], "dob": bad}),
    "user ID": lambda tracker, bad: tracker.identify(bad),
    "traits": lambda tracker, bad: tracker.identify("1", bad),
    "trait": lambda tracker, bad: tracker.identify("1", {"plan": bad}),
    "known trait": lambda tracker, bad: tracker.identify("1", {"email": bad}),
    "trait's name": lambda tracker, bad: tracker.identify("1", Pairs([(bad, 1)])),
    "group ID": lambda tracker, bad: tracker.group(bad),
    "group traits": lambda tracker, bad: tracker.group("g", bad),
    "alias": lambda tracker, bad: tracker.alias(bad),
    "queue type": lambda tracker, bad: tracker.add_to_event_queue(bad),
    "queue data": lambda tracker, bad: tracker.add_to_event_queue("ADD", {"a": bad}),
    "timestamp": lambda tracker, bad: tracker.page_view(timestamp=bad),
    "event_id": lambda tracker, bad: tracker.page_view(event_id=bad),
    "context": lambda tracker, bad: tracker.page_view(context=bad),
    "context value": lambda tracker, bad: tracker.page_view(context={"ip": bad}),
    "campaign": lambda tracker, bad: tracker.page_view(context={"campaign": {"source": bad}}),
    "integrations": lambda tracker, bad: tracker.page_view(integrations=bad),
    "integrations value": lambda tracker, bad: tracker.page_view(integrations={"All": bad}),
    "destinations": lambda tracker, bad: tracker.page_view(destinations=bad),
    "destination": lambda tracker, bad: tracker.page_view(destinations=[bad]),
    "point of sale": lambda tracker, bad: setattr(tracker, "point_of_sale", bad),
    "personalize": lambda tracker, bad: tracker.personalize_sync(bad, timeout=0),
    "personalize value": lambda tracker, bad: tracker.personalize_sync({"friendly_id": bad}, timeout=0),
    "params": lambda tracker, bad: tracker.personalize_sync({"friendly_id": "f", "params": {"a": bad}}, timeout=0),
    "personalize timeout": lambda tracker, bad: asyncio.run(tracker.personalize({"friendly_id": "f"}, timeout=bad)),
}
SERVER_CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "page_view request": lambda engage, bad: engage.page_view(None, bad),
    "request's scope": lambda engage, bad: engage.event("ADD", None, SimpleNamespace(scope=bad, environ=bad)),
    "event request": lambda engage, bad: engage.event("ADD", None, bad),
    "event data": lambda engage, bad: engage.event("ADD", {"a": bad}, make_scope("/", NAVIGATION)),
    "identity request": lambda engage, bad: engage.identity({}, bad),
    "personalize request": lambda engage, bad: engage.personalize_sync({"friendly_id": "f"}, bad),
    "cookie request": lambda engage, bad: engage.handle_cookie_sync(bad, []),
    "cookie response": lambda engage, bad: engage.handle_cookie_sync(make_environ("/", cookie()), bad),
    "cookie timeout": lambda engage, bad: engage.handle_cookie_sync(make_environ("/", cookie()), [], timeout=bad),
    "async response": lambda engage, bad: asyncio.run(engage.handle_cookie(make_scope("/", cookie()), bad)),
    "visitor": lambda engage, bad: engage.for_visitor(bad).page_view(),
    "visitor's user": lambda engage, bad: engage.for_visitor(BROWSER_ID, bad).page_view(),
    "flush": lambda engage, bad: engage.flush(bad),
    "aflush": lambda engage, bad: asyncio.run(engage.aflush(bad)),
}


class Pairs(Mapping[Any, Any]):
    """A mapping of whatever pairs, also of what has no hash."""

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = pairs

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def items(self) -> Any:
        return self.pairs


def cookie() -> dict[str, str]:
    return {**NAVIGATION, "cookie": f"bid_key={BROWSER_ID}"}


def make(**options: Any) -> Tracking:
    return Tracking(
        Sitecore(client_key="key", target_url=ADDRESS, point_of_sale="shop"),
        CustomerIO(write_key="key", target_url=ADDRESS),
        Datalyr(workspace_id="ws", target_url=ADDRESS),
        identity_provider="CRM",
        max_events=1_000_000,
        browser_id_pool_size=0,
        **options,
    )


@pytest.fixture(scope="module")
def raises() -> Iterator[Tracking]:
    tracking = make()
    tracking.start()
    yield tracking
    tracking.close(0)


@pytest.fixture(scope="module")
def drops() -> Iterator[Tracking]:
    tracking = make(on_invalid="drop")
    tracking.start()
    yield tracking
    tracking.close(0)


CALLS = [*(("tracker", name) for name in TRACKER_CALLS), *(("server", name) for name in SERVER_CALLS)]


def perform(tracking: Tracking, call: tuple[str, str], bad: Any) -> Any:
    whose, name = call
    if whose == "server":
        return SERVER_CALLS[name](tracking, bad)
    return TRACKER_CALLS[name](tracking.for_visitor(BROWSER_ID, "before"), bad)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), error=st.sampled_from(ERRORS))
def test_no_other_error_reaches_the_app(
    raises: Tracking, call: tuple[str, str], kind: str, error: type[Exception]
) -> None:
    try:
        perform(raises, call, hostile(error)[kind])
    except ValidationError as refused:
        said = str(refused)
        assert MARKER not in said


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), error=st.sampled_from(ERRORS))
def test_where_nothing_is_to_be_raised_it_is_logged_without_values(
    drops: Tracking, caplog: pytest.LogCaptureFixture, call: tuple[str, str], kind: str, error: type[Exception]
) -> None:
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="passerby"):
        perform(drops, call, hostile(error)[kind])
    assert MARKER not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert all(one.is_balanced for one in drops.stats().destinations.values())


@pytest.mark.parametrize(
    "call",
    [("tracker", "trait"), ("tracker", "event data"), ("tracker", "timestamp"), ("server", "page_view request")],
    ids=" ".join,
)
def test_it_is_counted(drops: Tracking, caplog: pytest.LogCaptureFixture, call: tuple[str, str]) -> None:
    before = drops.stats().destinations["customerio"].dropped.get("invalid", 0)
    with caplog.at_level(logging.WARNING, logger="passerby"):
        receipt = perform(drops, call, SimpleLazyObject(raising(RuntimeError)))
    assert receipt.event_id is None
    assert drops.stats().destinations["customerio"].dropped["invalid"] == before + 1
    assert "RuntimeError" in caplog.text or "request was expected" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("call", ["trait", "event data", "user ID", "timestamp", "context value"])
def test_what_ends_a_program_passes(drops: Tracking, call: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        perform(drops, ("tracker", call), SimpleLazyObject(raising(error)))


@pytest.mark.parametrize("error", [RecursionError, ZeroDivisionError, LookupError])
def test_the_message_says_what_was_raised_and_its_cause_is_there(raises: Tracking, error: type[Exception]) -> None:
    with pytest.raises(ValidationError, match=f"traits: an object raised {error.__name__}") as caught:
        raises.for_visitor(BROWSER_ID).identify("1", {"plan": SimpleLazyObject(raising(error))})
    assert isinstance(caught.value.__cause__, error)


class Endless(Mapping[str, int]):
    """Lies about how much there is."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, itertools.count())

    def __len__(self) -> int:
        return 1


class EndlessList(list[int]):
    def __iter__(self) -> Iterator[int]:
        return itertools.count()


@pytest.mark.parametrize("data", [Endless(), {"a": Endless()}, {"a": EndlessList([1])}], ids=["top", "inner", "list"])
def test_what_never_ends_is_refused(raises: Tracking, data: Any) -> None:
    tracker = raises.for_visitor(BROWSER_ID)
    for call in (tracker.page_view, tracker.identity):
        with pytest.raises(ValidationError, match="more than 10000 values"):
            call(data)
    with pytest.raises(ValidationError, match="more than 10000 values"):
        tracker.identify("1", data)


def test_what_changes_while_it_is_read_is_refused(raises: Tracking) -> None:
    data: dict[str, Any] = {}

    class Growing:
        def casefold(self) -> str:
            data[str(len(data))] = 1
            return "x"

        __str__ = casefold

    data["a"] = Growing()
    with pytest.raises(ValidationError, match="event data: an object raised RuntimeError"):
        raises.for_visitor(BROWSER_ID).event("ADD", data)


def test_a_response_whose_headers_raise_gets_no_cookie(drops: Tracking) -> None:
    class Broken(Response):
        @property
        def raw_headers(self) -> Any:
            raise RuntimeError(MARKER)

        @raw_headers.setter
        def raw_headers(self, value: Any) -> None:
            pass

    drops.handle_cookie_sync(make_environ("/", cookie()), Broken())


def test_a_generator_of_destinations_is_read_once(raises: Tracking) -> None:
    receipt = raises.for_visitor(BROWSER_ID).page_view(destinations=(name for name in ["customerio"]))  # type: ignore[arg-type]
    assert list(receipt.outcomes) == ["customerio"]


def test_time_zones_that_are_wrong(raises: Tracking) -> None:
    class Zone(tzinfo):
        def utcoffset(self, dt: datetime | None) -> timedelta:
            return timedelta(days=3)

        def dst(self, dt: datetime | None) -> timedelta | None:
            return None

        def tzname(self, dt: datetime | None) -> str | None:
            return None

    with pytest.raises(ValidationError, match="extension data: an object raised ValueError"):
        raises.for_visitor(BROWSER_ID).page_view(None, {"at": datetime(2026, 1, 1, tzinfo=Zone())})
