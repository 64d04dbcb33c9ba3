"""Who is who: identities resolved as Datalyr's document describes, out of the messages that a system took.

An identify call links its anonymous ID to its user ID: all events of that anonymous ID belong to the user from then on,
those before it too. Several anonymous IDs, of several devices, meet in one user only by the same user ID. What an
anonymous ID does after a second person identified there belongs to that person; what is said with a user ID belongs to
that user whatever the anonymous ID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from . import datalyr_api
from .ask import System
from .json_object import JSONObject, as_object


class Fact(NamedTuple):
    """What one message says of somebody."""

    message: JSONObject
    user_id: str | None
    anonymous_id: str | None
    is_identity: bool
    traits: JSONObject  # of an identity
    previous_id: str | None  # of an alias


@dataclass(slots=True)
class Person:
    """Somebody, known or not.

    Attributes:
        user_id: who it is; None as long as only a browser is known.
        anonymous_ids: the browsers, in the order in which they were linked.
        messages: all that belongs to the person, in order of arrival.
        traits: the last value of each.
    """

    user_id: str | None
    anonymous_ids: list[str] = field(default_factory=list[str])
    messages: list[JSONObject] = field(default_factory=list[JSONObject])
    traits: JSONObject = field(default_factory=dict[str, object])

    @property
    def story(self) -> list[str]:
        """The messages' names, such as ``["page", "identify", "Order Completed"]``."""
        return [_name(message) for message in self.messages]


class People:
    """Everybody of whom a system was told.

    Args:
        system: whose messages they are.
        messages: in order of arrival.
    """

    def __init__(self, system: System, messages: Iterable[JSONObject]) -> None:
        self._users: dict[str, Person] = {}
        self._browsers: dict[str, Person] = {}
        self._owners: list[tuple[JSONObject, str | None, str | None]] = []  # message, user ID, anonymous ID
        self._linked: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._same: dict[str, str] = {}
        read = _customerio_fact if system == "customerio" else _datalyr_fact
        for message in messages:
            self._take(read(message))
        self._give_out()

    @property
    def users(self) -> list[Person]:
        """Those who are known, in the order in which they were named."""
        return list(self._users.values())

    @property
    def strangers(self) -> list[Person]:
        """Those of whom only a browser is known."""
        return [person for person in self._browsers.values() if person.user_id is None]

    def user(self, user_id: str) -> Person | None:
        """The person with a user ID, or with another ID that was said to stand for the same one."""
        return self._users.get(self._whose(user_id))

    def of_browser(self, anonymous_id: str) -> Person | None:
        """The person behind a browser, as it is now."""
        return self._browsers.get(anonymous_id)

    def _take(self, fact: Fact) -> None:
        user_id, anonymous_id = fact.user_id, fact.anonymous_id
        if user_id is not None:
            person = self._users.setdefault(self._whose(user_id), Person(self._whose(user_id)))
            if fact.is_identity:
                person.traits.update(fact.traits)
                if anonymous_id is not None:
                    self._link(anonymous_id, user_id)
            if fact.previous_id is not None:
                self._unite(fact.previous_id, user_id)
        elif anonymous_id is not None:
            user_id = self._linked.get(anonymous_id)
        self._owners.append((fact.message, user_id, anonymous_id))

    def _link(self, anonymous_id: str, user_id: str) -> None:
        self._first.setdefault(anonymous_id, user_id)
        self._linked[anonymous_id] = user_id

    def _unite(self, previous_id: str, user_id: str) -> None:
        """From now on two IDs are one person's."""
        previous, own = self._whose(previous_id), self._whose(user_id)
        if previous == own:
            return
        self._link(previous_id, user_id)  # it may be a browser's
        self._same[previous] = own
        before = self._users.pop(previous, None)
        if before is not None:
            self._users[own].traits = before.traits | self._users[own].traits

    def _whose(self, user_id: str) -> str:
        while user_id in self._same:
            user_id = self._same[user_id]
        return user_id

    def _give_out(self) -> None:
        """Give each message to whom it belongs, and each browser, now that all is known."""
        for message, told, anonymous_id in self._owners:
            user_id = told if told is not None or anonymous_id is None else self._first.get(anonymous_id)
            person = self._stranger(anonymous_id) if user_id is None else self._users[self._whose(user_id)]
            person.messages.append(message)
        browsers = {anonymous_id for _, _, anonymous_id in self._owners}
        for anonymous_id, user_id in [*self._first.items(), *self._linked.items()]:
            if anonymous_id in browsers:
                person = self._browsers[anonymous_id] = self._users[self._whose(user_id)]
                person.anonymous_ids += [] if anonymous_id in person.anonymous_ids else [anonymous_id]

    def _stranger(self, anonymous_id: str | None) -> Person:
        name = anonymous_id or ""
        return self._browsers.setdefault(name, Person(None, [name]))


def _customerio_fact(message: JSONObject) -> Fact:
    return Fact(
        message,
        _text(message.get("userId")),
        _text(message.get("anonymousId")),
        message.get("type") == "identify",
        as_object(message.get("traits")),
        _text(message.get("previousId")) if message.get("type") == "alias" else None,
    )


def _datalyr_fact(message: JSONObject) -> Fact:
    name, properties = datalyr_api.name_of(message), as_object(message.get("properties"))
    return Fact(
        message,
        _text(datalyr_api.user_id_of(message)),
        _text(datalyr_api.anonymous_id_of(message)),
        name == "$identify",
        datalyr_api.traits_of(message),
        _text(properties.get("previousId", properties.get("previous_id"))) if name == "$alias" else None,
    )


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)


def _name(message: JSONObject) -> str:
    if "type" in message:
        return str(message["event"] if message["type"] == "track" else message["type"])
    return str(datalyr_api.name_of(message))
