"""Identity resolution as Datalyr documents it, with its events and with Customer.io's calls."""

from __future__ import annotations

from typing import Any

import pytest

from passerby.collector import People
from passerby.collector.api_request import MessageSystem

Call = tuple[str, str | None, str | None, dict[str, Any]]


def datalyr(name: str, anonymous_id: str | None, user_id: str | None, traits: dict[str, Any]) -> dict[str, Any]:
    return {"event_name": name, "anonymous_id": anonymous_id, "user_id": user_id, "properties": traits}


def track(name: str, anonymous_id: str | None, user_id: str | None, traits: dict[str, Any]) -> dict[str, Any]:
    return {"event": name, "anonymousId": anonymous_id, "userId": user_id, "properties": traits}


def customerio(name: str, anonymous_id: str | None, user_id: str | None, traits: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"anonymousId": anonymous_id, "userId": user_id}
    if name == "$identify":
        return message | {"type": "identify", "traits": traits}
    if name == "$alias":
        return message | {"type": "alias", "previousId": traits["previousId"]}
    return message | {"type": "track", "event": name, "properties": traits}


FORMS: dict[str, tuple[MessageSystem, Any]] = {
    "datalyr events": ("datalyr", datalyr),
    "datalyr track": ("datalyr", track),
    "customerio": ("customerio", customerio),
}


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return request.param


def people(form: Any, *calls: Call) -> People:
    system, write = form
    return People(system, [write(*one) for one in calls])


def names_of(people: People, user_id: str) -> list[str]:
    person = people.user(user_id)
    assert person is not None
    return [name.removeprefix("$") for name in person.event_names]


def test_before_identify_there_is_a_stranger_and_after_it_all_is_the_users(form: Any) -> None:
    before: list[Call] = [("view", "anon_1", None, {}), ("add_to_cart", "anon_1", None, {})]
    anonymous = people(form, *before)
    assert [one.user_id for one in anonymous.anonymous] == [None]
    assert anonymous.users == []

    known = people(form, *before, ("$identify", "anon_1", "user_1", {"plan": "pro"}), ("purchase", "anon_1", None, {}))
    assert names_of(known, "user_1") == ["view", "add_to_cart", "identify", "purchase"]
    assert known.anonymous == []
    assert known.by_browser("anon_1") is known.user("user_1")


def test_the_purchase_of_three_days_and_two_devices(form: Any) -> None:
    known = people(
        form,
        ("view_ad", "anon_phone", None, {}),
        ("sign_up", "anon_phone", None, {}),
        ("$identify", "anon_phone", "user_1", {"email": "ada@shop.example"}),
        ("compare", "anon_laptop", None, {}),
        ("$identify", "anon_laptop", "user_1", {"plan": "pro"}),
        ("purchase", "anon_laptop", "user_1", {}),
    )
    assert names_of(known, "user_1") == ["view_ad", "sign_up", "identify", "compare", "identify", "purchase"]
    person = known.user("user_1")
    assert person is not None
    assert person.anonymous_ids == ["anon_phone", "anon_laptop"]
    assert person.traits == {"email": "ada@shop.example", "plan": "pro"}, "updates are merged"


def test_on_a_shared_device_each_has_what_is_their_own(form: Any) -> None:
    known = people(
        form,
        ("view", "anon_1", None, {}),
        ("$identify", "anon_1", "ada", {}),
        ("ada's", "anon_1", None, {}),
        ("$identify", "anon_1", "ben", {}),
        ("ben's", "anon_1", None, {}),
        ("ada's again", "anon_1", "ada", {}),
    )
    assert names_of(known, "ada") == ["view", "identify", "ada's", "ada's again"]
    assert names_of(known, "ben") == ["identify", "ben's"]
    browser = known.by_browser("anon_1")
    assert browser is not None
    assert browser.user_id == "ben"


def test_events_of_another_user_are_not_attributed(form: Any) -> None:
    known = people(form, ("$identify", "anon_1", "user_1", {}), ("view", "anon_2", None, {}))

    assert names_of(known, "user_1") == ["identify"]
    (stranger,) = known.anonymous
    assert stranger.anonymous_ids == ["anon_2"]
    assert known.user("user_2") is None
    assert known.by_browser("anon_3") is None


def test_an_alias_makes_two_users_one(form: Any) -> None:
    known = people(
        form,
        ("$identify", "anon_1", "old", {"plan": "free", "city": "Bath"}),
        ("view", "anon_1", None, {}),
        ("$identify", "anon_2", "new", {"plan": "pro"}),
        ("$alias", None, "new", {"previousId": "old"}),
        ("later", "anon_1", None, {}),
        ("latest", None, "old", {}),
    )
    assert [one.user_id for one in known.users] == ["new"]
    assert names_of(known, "new") == ["identify", "view", "identify", "alias", "later", "latest"]
    assert known.user("old") is known.user("new")
    person = known.user("new")
    assert person is not None
    assert person.traits == {"plan": "pro", "city": "Bath"}
    assert set(person.anonymous_ids) == {"anon_1", "anon_2"}


def test_an_alias_of_a_browser_makes_its_events_the_users(form: Any) -> None:
    known = people(form, ("view", "anon_1", None, {}), ("$alias", None, "user_1", {"previousId": "anon_1"}))

    assert names_of(known, "user_1") == ["view", "alias"]
    assert known.anonymous == []


def test_a_previous_id_is_no_trait() -> None:
    known = people(FORMS["datalyr track"], ("$identify", "anon_1", "ben", {"plan": "pro", "previous_id": "ada"}))
    ben = known.user("ben")
    assert ben is not None
    assert ben.traits == {"plan": "pro"}


def test_anonymous_events_are_reattributed(form: Any) -> None:
    known = people(
        form,
        ("view", "anon_1", None, {}),
        ("$identify", "anon_1", "ada", {}),
        ("later", "anon_1", None, {}),
        ("named", "anon_1", "ada", {}),
        ("stranger's", "anon_2", None, {}),
    )
    ada = known.user("ada")
    assert ada is not None
    assert [(entry.number, entry.reattributed) for entry in ada.timeline] == [
        (1, True),
        (2, False),
        (3, False),
        (4, False),
    ]
    assert [entry.is_identity for entry in ada.timeline] == [False, True, False, False]
    assert [entry.user_id for entry in ada.timeline] == [None, "ada", None, "ada"], "as sent"
    assert [entry.reattributed for entry in known.anonymous[0].timeline] == [False]


def test_events_may_be_added_later(form: Any) -> None:
    system, write = form
    known = People(system)
    known.add(write("view", "anon_1", None, {}), 7, 3, 1.5)
    assert [one.anonymous_ids for one in known.anonymous] == [["anon_1"]]

    known.add(write("$identify", "anon_1", "ada", {}), 8, 0, 2.5)
    assert known.anonymous == []
    assert names_of(known, "ada") == ["view", "identify"]
    ada = known.user("ada")
    assert ada is not None
    assert ada.timeline[0][:3] == (7, 3, 1.5)


def view(browser_id: str, page: str = "Home") -> dict[str, Any]:
    return {"type": "VIEW", "browser_id": browser_id, "client_key": "key", "page": page, "pos": "shop"}


def identity(browser_id: str, *identifiers: tuple[str, str], **fields: Any) -> dict[str, Any]:
    listed = [{"provider": provider, "id": name} for provider, name in identifiers]
    return {**view(browser_id), "type": "IDENTITY", "identifiers": listed, **fields}


def test_an_identity_at_sitecore_links_its_browser() -> None:
    known = People(
        "sitecore",
        [
            view("b1"),
            identity("b1", ("CRM", "ada"), email="ada@shop.example", ext={"plan": "free"}),
            view("b2"),
            identity("b2", ("CRM", "ada"), ext={"plan": "pro"}),
            {**view("b2"), "type": "CONFIRM"},
            view("b3"),
        ],
    )
    ada = known.user("ada")
    assert ada is not None
    assert ada.event_names == ["VIEW", "IDENTITY", "VIEW", "IDENTITY", "CONFIRM"]
    assert ada.anonymous_ids == ["b1", "b2"]
    assert ada.traits == {"email": "ada@shop.example", "plan": "pro"}
    assert [entry.reattributed for entry in ada.timeline] == [True, False, True, False, False]
    assert [one.anonymous_ids for one in known.anonymous] == [["b3"]]


def test_the_same_id_of_two_providers_is_two_people() -> None:
    known = People("sitecore", [identity("b1", ("CRM", "7")), identity("b2", ("LOYALTY", "7"))])

    assert [(one.user_id, one.anonymous_ids) for one in known.users] == [("7", ["b1"]), ("7", ["b2"])]


def test_all_identifiers_of_an_identity_are_one_person() -> None:
    """Who is known keeps the name by which they became known."""
    known = People(
        "sitecore",
        [
            identity("b1", ("EMAIL", "ada@shop.example")),
            identity("b2", ("CRM", "7"), ("EMAIL", "ada@shop.example")),
            identity("b3", ("CRM", "7")),
        ],
    )
    (ada,) = known.users
    assert ada.user_id == "ada@shop.example"
    assert known.user("ada@shop.example") is known.user("7") is ada
    assert ada.anonymous_ids == ["b1", "b2", "b3"]


def test_an_identity_at_sitecore_may_unite_two_who_were_known() -> None:
    known = People(
        "sitecore",
        [identity("b1", ("CRM", "7")), identity("b2", ("EMAIL", "a")), identity("b2", ("CRM", "7"), ("EMAIL", "a"))],
    )
    (one,) = known.users
    assert (one.user_id, one.anonymous_ids, len(one.timeline)) == ("7", ["b1", "b2"], 3)


@pytest.mark.parametrize("identifiers", [None, [], "x", [7], [{}], [{"id": ""}, {"provider": "CRM"}]])
def test_an_identity_without_identifiers_links_no_one(identifiers: Any) -> None:
    known = People("sitecore", [{**view("b1"), "type": "IDENTITY", "identifiers": identifiers}])

    assert known.users == []
    assert [one.event_names for one in known.anonymous] == [["IDENTITY"]]


@pytest.mark.parametrize("system", ["sitecore", "customerio", "datalyr"])
def test_odd_messages_raise_no_error(system: Any) -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"type": [], "browser_id": {}, "identifiers": [{"id": {}, "provider": []}]},
        {"type": "IDENTITY", "browser_id": [], "identifiers": [{"id": {}, "provider": []}], "ext": 7},
        {"type": "identify", "userId": {}, "anonymousId": [], "traits": 7},
        {"event_name": "$identify", "user_id": {}, "anonymous_id": 7, "properties": []},
        {"type": "alias", "userId": "a", "previousId": "a"},
    ]
    known = People(system, odd)

    assert sum(len(one.timeline) for one in [*known.users, *known.anonymous]) == len(odd)
