"""Who is who, for the page: however many people there are and whatever they did, what is said of them has a bound."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from itertools import count, repeat
from typing import Any

import pytest

from passerby.collector.collected_request import CollectedRequest
from passerby.collector.person_index import MOST_ENTRIES, MOST_IDS, MOST_PEOPLE, PersonIndex
from passerby.collector.request_record import RequestRecord
from passerby.collector.store import Store


@pytest.fixture
def store() -> Store:
    return Store()


def track(store: Store, *messages: dict[str, Any]) -> None:
    """Take a batch, as Customer.io would."""
    received = CollectedRequest(
        store.next_number(), 1_000.0, "POST", "/v1/batch", {}, b"", "pipelines", 200, True, None
    )
    store.add(RequestRecord(received, None, None, "customerio", messages))


def pages(visitors: Iterable[object], **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "page", "anonymousId": str(visitor), **fields} for visitor in visitors]


def identity(visitor: object, user: str = "ada", **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "anonymousId": str(visitor), "userId": user, "traits": traits}


def test_no_list_is_endless(store: Store) -> None:
    track(store, *pages(range(MOST_PEOPLE + 5)), *(identity(f"u{each}", f"user-{each}") for each in range(3)))
    found = PersonIndex(store).people("customerio", 10**9)

    assert (len(found["anonymous"]), found["total_anonymous"]) == (MOST_PEOPLE, MOST_PEOPLE + 5)
    assert (len(found["users"]), found["total_users"]) == (3, 3)


def test_no_timeline_is_endless(store: Store) -> None:
    track(store, *pages(["a"] * (MOST_ENTRIES + 5)))
    found = PersonIndex(store).person("customerio", "browser", "a", 10**9)

    assert found is not None
    assert (len(found["timeline"]), found["events"]) == (MOST_ENTRIES, MOST_ENTRIES + 5)


def test_a_list_says_little_of_each(store: Store) -> None:
    """With many events and many traits."""
    track(store, *(identity(each, name="N" * 9_000, email="E" * 9_000, about="A" * 9_000) for each in range(500)))
    (ada,) = PersonIndex(store).people("customerio", 10)["users"]

    assert (ada["devices"], ada["events"]) == (500, 500)
    assert ada["anonymous_ids"] == [str(each) for each in range(500 - MOST_IDS, 500)]
    assert len(json.dumps(ada)) < 2_000


def test_a_user_of_many_browsers_takes_no_longer_than_many_users() -> None:
    """Such as one who logs in anew in each of the runs of a load test."""

    def seconds(users: Iterable[str]) -> float:
        store = Store()
        for begin in range(0, 20_000, 1_000):
            track(
                store, *(identity(each, user) for each, user in zip(range(begin, begin + 1_000), users, strict=False))
            )
        started = time.process_time()
        PersonIndex(store).people("customerio", 10)
        return time.process_time() - started

    of_one, of_many = seconds(repeat("ada")), seconds(map(str, count()))
    assert of_one < 5 * of_many, f"{of_one:.1f} s, of many users {of_many:.1f} s"


def test_a_part_of_a_timeline_says_what_was_known_before(store: Store) -> None:
    track(store, *pages(["laptop", "phone", "phone", "other"]), identity("laptop"), *pages(["laptop"]))
    track(store, *pages(["phone"]), identity("phone"), identity("laptop"))
    crowd = PersonIndex(store)

    def earlier(limit: int) -> Any:
        found = crowd.person("customerio", "user", "ada", limit)
        assert found is not None
        return found["earlier"]

    laptop = {"anonymous_id": "laptop", "anonymous": 1, "is_known": True}
    phone = {"anonymous_id": "phone", "anonymous": 2, "is_known": False}
    assert earlier(3) == {"is_known": True, "browsers": [laptop, phone]}
    assert earlier(1) == {"is_known": True, "browsers": [laptop]}, "of the others nothing is shown"
    assert earlier(5) == {"is_known": False, "browsers": [{**laptop, "is_known": False}, phone]}
    assert earlier(100) == {"is_known": False, "browsers": []}


@pytest.mark.parametrize(
    ("traits", "name"),
    [
        ({"name": "Ada", "first_name": " Augusta ", "last_name": "King"}, "Augusta King"),
        ({"firstName": "Augusta", "first_name": ""}, "Augusta"),
        ({"lastname": "King"}, "King"),
        ({"username": "ada", "name": ["Ada"]}, "ada"),
        ({"name": 7, "title": "Countess"}, None),
    ],
)
def test_the_name_of_a_person(store: Store, traits: dict[str, Any], name: str | None) -> None:
    track(store, identity("a", **traits))
    (ada,) = PersonIndex(store).people("customerio", 1)["users"]

    assert ada["name"] == name
