"""The three systems as the collector plays them, and who is who at each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from passerby import CustomerIO, Datalyr, Sitecore
from passerby.collector import CollectorServer
from passerby.collector.api_request import MESSAGE_SYSTEMS
from passerby.destinations import Destination

SITECORE, CUSTOMERIO, DATALYR = "sitecore", "customerio", "datalyr"
EVERYWHERE = (SITECORE, CUSTOMERIO, DATALYR)

# What each system calls the same thing.
_NAMES = {
    "VIEW": "page view",
    "page": "page view",
    "$pageview": "page view",
    "IDENTITY": "identify",
    "$identify": "identify",
    "$group": "group",
    "$alias": "alias",
}


class Told(NamedTuple):
    """What a system was told: what happened, in which browser, and the user if it was said who."""

    what: str
    browser: str | None
    user: str | None
    moment: datetime


class Somebody(NamedTuple):
    """A person as a system sees them: the browsers, and the story in the order in which it was told."""

    browsers: frozenset[str]
    story: list[str]


def all_three(url: str) -> list[Destination]:
    return [
        Sitecore(client_key="key", target_url=url, point_of_sale="shop"),
        CustomerIO(write_key="sk_eu_1", target_url=url),
        Datalyr(workspace_id="ws_1", target_url=url),
    ]


def told(collector: CollectorServer) -> dict[str, list[Told]]:
    """All that each system was told, in order of arrival."""
    return {
        SITECORE: [_told_sitecore(event) for event in collector.events],
        CUSTOMERIO: [_told_customerio(call) for call in collector.messages("customerio")],
        DATALYR: [_told_datalyr(event) for event in collector.messages("datalyr")],
    }


def known_users(collector: CollectorServer) -> dict[str, dict[str, Somebody]]:
    """Everybody who is known, at each system, by user ID."""
    people = {SITECORE: _guests(told(collector)[SITECORE])}
    for system in MESSAGE_SYSTEMS:
        found = collector.people(system).users
        people[system] = {
            str(one.user_id): Somebody(
                frozenset(one.anonymous_ids), [_NAMES.get(name, name) for name in one.event_names]
            )
            for one in found
        }
    return people


def traits(collector: CollectorServer, user_id: str) -> dict[str, dict[str, Any]]:
    """What each system knows of a user in the end."""
    known: dict[str, dict[str, Any]] = {SITECORE: {}}
    for event in collector.events:
        if event["type"] == "IDENTITY" and event["identifiers"][0]["id"] == user_id:
            envelope = (
                "type",
                "browser_id",
                "client_key",
                "pos",
                "page",
                "requested_at",
                "language",
                "identifiers",
                "ext",
            )
            known[SITECORE] |= {name: value for name, value in event.items() if name not in envelope}
            known[SITECORE] |= event.get("ext", {})
    for system in MESSAGE_SYSTEMS:
        person = collector.people(system).user(user_id)
        known[system] = {} if person is None else dict(person.traits)
    return known


def _guests(told: Iterable[Told]) -> dict[str, Somebody]:
    """Who is who at Sitecore, where only an IDENTITY says a user: a browser is its last one's until the next.

    How Sitecore merges guests is a matter of the tenant's identity rules, which are not played here. What an event
    before the first IDENTITY belongs to is taken to be the guest that it became known as.
    """
    listed = list(told)
    now: dict[str | None, str] = {}
    for one in reversed(listed):
        if one.user is not None:
            now[one.browser] = one.user
    users: dict[str, Somebody] = {}
    for one in listed:
        user = now[one.browser] = one.user or now.get(one.browser, "")
        before = users.get(user, Somebody(frozenset(), []))
        users[user] = Somebody(before.browsers | {str(one.browser)}, [*before.story, one.what])
    users.pop("", None)
    return users


def _told_sitecore(event: Mapping[str, Any]) -> Told:
    (user, *others) = [one["id"] for one in event.get("identifiers", ())] or [None]
    assert not others
    return Told(_name(event["type"]), event["browser_id"], user, _moment(event["requested_at"]))


def _told_customerio(call: Mapping[str, Any]) -> Told:
    what = call["event"] if call["type"] == "track" else call["type"]
    return Told(_name(what), call.get("anonymousId"), call.get("userId"), _moment(call["timestamp"]))


def _told_datalyr(event: Mapping[str, Any]) -> Told:
    return Told(
        _name(event["event_name"]), event.get("anonymous_id"), event.get("user_id"), _moment(event["timestamp"])
    )


def _name(what: str) -> str:
    return _NAMES.get(what, what)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
