"""Who is who: identities resolved as Datalyr's document describes, out of the messages that a system took.

An identify call links its anonymous ID to its user ID: all events of that anonymous ID belong to the user from then on,
those before it too. Several anonymous IDs, of several devices, meet in one user only by the same user ID. What an
anonymous ID does after a second person identified there belongs to that person; what is said with a user ID belongs to
that user whatever the anonymous ID. Sitecore's events are read by the same rules: an IDENTITY is the identify call, and
each of its identifiers is a user ID, all of one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .ask import Played
from .json_object import JSONObject
from .telling import Telling, read_telling, shortened

UNNAMED = "?"  # something that says of itself not what it is


class Entry(NamedTuple):
    """One thing that somebody did.

    Attributes:
        number: of the request in which it arrived.
        position: in that request.
        time: when it happened as it says itself, or else when it arrived, in seconds since the epoch.
        name: what it was, such as "page" or "Order Completed".
        says: a few words on what is in it.
        anonymous_id: in which browser.
        user_id: who it was, as told.
        is_identity: whether it says who somebody is.
        reattributed: whether nobody was known when it was told, and it is the person's since.
    """

    number: int
    position: int
    time: float
    name: str
    says: str
    anonymous_id: str | None
    user_id: str | None
    is_identity: bool
    reattributed: bool = False


@dataclass(slots=True)
class Person:
    """Somebody, known or not.

    Attributes:
        user_id: who it is; None as long as only a browser is known.
        anonymous_ids: the browsers, in the order in which they were linked.
        timeline: all that belongs to the person, in order of arrival.
        traits: the last value of each.
    """

    user_id: str | None
    anonymous_ids: list[str] = field(default_factory=list[str])
    timeline: list[Entry] = field(default_factory=list[Entry])
    traits: JSONObject = field(default_factory=dict[str, object])

    def absorb(self, other: Person) -> None:
        """Take over what is known of somebody who turns out to be the same person; what is known here counts."""
        self.traits = other.traits | self.traits

    def forget_timeline(self) -> None:
        """Forget what happened and in which browsers, to be gathered anew."""
        self.timeline, self.anonymous_ids = [], []

    @property
    def story(self) -> list[str]:
        """What happened, by name, such as ``["page", "identify", "Order Completed"]``."""
        return [entry.name for entry in self.timeline]


class _Owned(NamedTuple):
    entry: Entry
    key: str | None  # whose it was when it was told


class People:
    """Everybody of whom a system was told.

    Args:
        system: whose messages they are.
        messages: in order of arrival; more may be added.
    """

    def __init__(self, system: Played, messages: Iterable[JSONObject] = ()) -> None:
        self._system: Played = system
        self._users: dict[str, Person] = {}
        self._browsers: dict[str, Person] = {}
        self._owned: list[_Owned] = []
        self._linked: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._is_given_out = True
        for number, message in enumerate(messages, 1):
            self.add(message, number)

    def add(self, message: JSONObject, number: int, position: int = 0, time: float = 0.0) -> None:
        """Take one more message.

        Args:
            message: an event to Sitecore, or a message to one of the others.
            number: of the request in which it arrived.
            position: in that request.
            time: when it arrived.
        """
        telling = read_telling(self._system, message)
        entry = Entry(
            number,
            position,
            time if telling.told is None else telling.told,
            shortened(telling.name) or UNNAMED,
            telling.says,
            telling.visitor,
            telling.user,
            telling.is_identity,
        )
        self._owned.append(_Owned(entry, self._take(telling)))
        self._is_given_out = False

    @property
    def users(self) -> list[Person]:
        """Those who are known, in the order in which they were named."""
        self._give_out()
        return list(self._users.values())

    @property
    def strangers(self) -> list[Person]:
        """Those of whom only a browser is known."""
        self._give_out()
        return [person for person in self._browsers.values() if person.user_id is None]

    def user(self, user_id: str) -> Person | None:
        """The person with a user ID, or with another ID that was said to stand for the same one."""
        self._give_out()
        found = self._users.get(self._whose(user_id))
        if found is None and self._system == "sitecore":
            keys = (key for key in (*self._users, *self._same) if key.partition("\n")[2] == user_id)
            found = next((self._users[self._whose(key)] for key in keys), None)
        return found

    def of_browser(self, anonymous_id: str) -> Person | None:
        """The person behind a browser, as it is now."""
        self._give_out()
        return self._browsers.get(anonymous_id)

    def _take(self, telling: Telling) -> str | None:
        """Note what it says, and return whose it is as far as is known now."""
        if telling.key is None:
            return None if telling.visitor is None else self._linked.get(telling.visitor)
        key = self._known_among(telling)
        person = self._users.setdefault(self._whose(key), Person(telling.user))
        if telling.is_identity:
            person.traits.update(telling.traits or {})
            if telling.visitor is not None:
                self._link(telling.visitor, key)
        for other in (telling.key, *telling.same):
            self._unite(other, key)
        return key

    def _known_among(self, telling: Telling) -> str:
        """Of a guest's identifiers the one that is known already, so that a further one does not rename the guest."""
        keys = (str(telling.key), *(telling.same if telling.is_identity else ()))
        return next((key for key in keys if self._whose(key) in self._users), keys[0])

    def _link(self, anonymous_id: str, key: str) -> None:
        self._first.setdefault(anonymous_id, key)
        self._linked[anonymous_id] = key

    def _unite(self, previous_id: str, key: str) -> None:
        """From now on two IDs are one person's."""
        previous, own = self._whose(previous_id), self._whose(key)
        if previous == own:
            return
        self._link(previous_id, key)  # it may be a browser's
        self._same[previous] = own
        before = self._users.pop(previous, None)
        if before is not None:
            self._users[own].absorb(before)

    def _whose(self, key: str) -> str:
        while key in self._same:
            key = self._same[key]
        return key

    def _give_out(self) -> None:
        """Give everybody what is theirs, by all that is known by now."""
        if self._is_given_out:
            return
        self._is_given_out = True
        self._browsers = {}
        for person in self._users.values():
            person.forget_timeline()
        for entry, told in self._owned:
            key = told if told is not None else self._first.get(entry.anonymous_id or "")
            person = self._stranger(entry.anonymous_id) if key is None else self._users[self._whose(key)]
            person.timeline.append(entry._replace(reattributed=True) if told is None and key is not None else entry)
        seen = {entry.anonymous_id for entry, _ in self._owned}
        linked: dict[str, dict[str, None]] = {}  # to each user the browsers, once each
        for anonymous_id, key in [*self._first.items(), *self._linked.items()]:
            if anonymous_id in seen:
                self._browsers[anonymous_id] = self._users[self._whose(key)]
                linked.setdefault(self._whose(key), {})[anonymous_id] = None
        for key, browsers in linked.items():
            self._users[key].anonymous_ids.extend(browsers)

    def _stranger(self, anonymous_id: str | None) -> Person:
        name = anonymous_id or ""
        return self._browsers.setdefault(name, Person(None, [name]))
