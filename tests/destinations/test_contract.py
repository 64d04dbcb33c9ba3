"""An object that is no whole destination is refused at the start, with the names of what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from passerby import CustomerIO, Datalyr, Sitecore, Sites, Tracking
from passerby.errors import SettingsError
from passerby.events.event import COMMON_KINDS
from tests.destinations.test_reserved import DESTINATIONS

MEMBERS = ("name", "origin", "kinds", "batch_size", "batch_bytes", "encoded_size", "check", "encode", "classify")


def without(*names: str, **others: Any) -> Any:
    """A destination of an app's own that lacks some of its members."""
    members: dict[str, Any] = {
        "name": "own",
        "origin": "https://own.example",
        "kinds": COMMON_KINDS,
        "batch_size": 1,
        "batch_bytes": 0,
        **dict.fromkeys(("encoded_size", "check", "encode", "classify"), lambda self, given: None),
    }
    kept = {name: value for name, value in members.items() if name not in names}
    return type("Own", (), kept | others)()


def refusal(destination: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Tracking(destination)
    return str(caught.value)


def test_a_whole_one_is_taken() -> None:
    assert repr(Tracking(without())) == "<Tracking to own>"


@pytest.mark.parametrize("name", MEMBERS)
def test_what_is_missing_is_named(name: str) -> None:
    said = refusal(without(name))
    assert "found Own where a destination was expected" in said
    assert said.endswith(f"it lacks {name}")


@pytest.mark.parametrize("missing", [("classify", "encoded_size"), ("kinds", "origin", "check"), MEMBERS])
def test_all_that_is_missing_is_named_at_once(missing: tuple[str, ...]) -> None:
    said = refusal(without(*missing))
    assert set(said.rpartition("it lacks ")[2].split(", ")) == set(missing)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("new_id_query", "which issues browser IDs; for that it lacks cookie_name"),
        ("guest_query", "which answers queries about the visitor; for that it lacks personalize_query"),
        ("personalize_query", "which answers queries about the visitor; for that it lacks guest_query"),
    ],
)
def test_one_that_issues_browser_ids_or_answers_questions_must_do_all_of_it(name: str, words: str) -> None:
    assert refusal(without(**{name: lambda self: None})) == f"found Own, {words}"


async def deferred(self: object, given: object) -> None:
    pass


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (
            {"classify": 5},
            "Own.classify: expected a plain method that takes a DestinationResponse and returns a SendResult",
        ),
        ({"classify": None}, "Own.classify: expected a plain method"),
        (
            {"encode": deferred},
            "Own.encode: expected a plain method that takes a list of events and returns an OutgoingRequest",
        ),
        (
            {"check": deferred},
            "Own.check: expected a plain method that takes an event and raises ValidationError, found an async",
        ),
        ({"name": 5}, "Own.name: found int, expected text"),
        ({"name": "a\nb"}, "Own.name: expected printable text"),
        ({"name": "x" * 65}, "Own.name: expected printable text of 1 to 64"),
        ({"origin": None}, "Own.origin: expected text"),
        ({"kinds": ()}, "Own.kinds: expected a frozenset out of alias, event"),
        ({"kinds": "event"}, "Own.kinds: expected a frozenset"),
        ({"kinds": {"click"}}, "Own.kinds: expected a frozenset"),
        ({"kinds": 5}, "Own.kinds: expected a frozenset"),
        ({"batch_size": 0}, "Own.batch_size: expected a whole number of at least 1"),
        ({"batch_size": True}, "Own.batch_size: expected a whole number"),
        ({"batch_bytes": "0"}, "Own.batch_bytes: expected a whole number"),
        ({"shared_cookie": "bid"}, "Own.shared_cookie: expected a SharedCookie or None"),
        ({"batch_size": 0, "origin": 5}, "Own.origin: expected text such as https://api.example.com; Own.batch_size: "),
        ({"kinds": property(lambda self: 1 / 0)}, "cannot read kinds of the destination Own: ZeroDivisionError"),
    ],
    ids=range(18),
)
def test_what_is_there_must_be_what_it_should_be(others: dict[str, Any], words: str) -> None:
    assert words in refusal(without(**others))


@pytest.mark.parametrize("given", [None, "sitecore", 5, {}, Sitecore, CustomerIO, Datalyr, object(), lambda: None])
def test_what_is_no_destination_at_all(given: Any) -> None:
    assert "where a destination was expected" in refusal(given)


@pytest.mark.parametrize("name", DESTINATIONS)
def test_those_that_come_with_it_are_whole(name: str) -> None:
    Tracking(DESTINATIONS[name])


def test_a_tracking_that_is_none_is_refused_by_a_site() -> None:
    make: Callable[[str], Any] = lambda name: without("classify")  # noqa: E731
    with pytest.raises(SettingsError, match="expected a Tracking"):
        Sites(lambda request: "site", make)["site"]
