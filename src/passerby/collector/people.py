"""Identity resolution as Datalyr documents it, from the messages that a system accepted.

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

from .api_request import System
from .json_object import JSONObject
from .parsed_event import ParsedEvent, parse_event, shortened

UNNAMED = "?"  # an event without a name


class TimelineEntry(NamedTuple):
    """One event in the timeline of a person.

    Attributes:
        number: of the request in which it arrived.
        position: in that request.
        time: its own time, or else the time of arrival, in seconds since the epoch.
        name: such as "page" or "Order Completed".
        summary: a short text about its content.
        anonymous_id: the browser.
        user_id: the user ID in the event.
        is_identity: whether it identifies the visitor.
        reattributed: whether it was anonymous and was attributed to the person later.
        site: at Sitecore the site name or point of sale.
        is_bot: whether it is of a bot, as Sitecore counts bots.
    """

    number: int
    position: int
    time: float
    name: str
    summary: str
    anonymous_id: str | None
    user_id: str | None
    is_identity: bool
    reattributed: bool = False
    site: str | None = None
    is_bot: bool = False


@dataclass(slots=True)
class Person:
    """A person, identified or anonymous.

    Attributes:
        user_id: None while anonymous.
        anonymous_ids: the browsers, in the order in which they were linked.
        timeline: the person's events, in order of arrival.
        traits: the latest value of each trait.
    """

    user_id: str | None
    anonymous_ids: list[str] = field(default_factory=list[str])
    timeline: list[TimelineEntry] = field(default_factory=list[TimelineEntry])
    traits: JSONObject = field(default_factory=dict[str, object])

    def absorb(self, other: Person) -> None:
        """Add the traits of another person who is the same; own values take precedence."""
        self.traits = other.traits | self.traits

    def forget_timeline(self) -> None:
        """Remove the events and the browsers, before they are assigned again."""
        self.timeline, self.anonymous_ids = [], []

    @property
    def sites(self) -> list[str]:
        """The sites of the events, in the order of their first event."""
        return list(dict.fromkeys(entry.site for entry in self.timeline if entry.site is not None))

    @property
    def is_bot(self) -> bool:
        """Whether an event is of a bot."""
        return any(entry.is_bot for entry in self.timeline)

    @property
    def event_names(self) -> list[str]:
        """The names of the events, such as ``["page", "identify", "Order Completed"]``."""
        return [entry.name for entry in self.timeline]


class _OwnedEntry(NamedTuple):
    entry: TimelineEntry
    key: str | None  # the user when the event arrived; None if anonymous


class People:
    """The people of one system.

    Args:
        system: the system of the messages.
        messages: in order of arrival; more may be added.
    """

    def __init__(self, system: System, messages: Iterable[JSONObject] = ()) -> None:
        self._system: System = system
        self._users: dict[str, Person] = {}
        self._browsers: dict[str, Person] = {}
        self._owned: list[_OwnedEntry] = []
        self._linked: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._is_assigned = True
        for number, message in enumerate(messages, 1):
            self.add(message, number)

    def add(self, message: JSONObject, number: int, position: int = 0, time: float = 0.0, path: str = "") -> None:
        """Add a message.

        Args:
            message: an event to Sitecore, or a message to one of the others.
            number: of the request in which it arrived.
            position: in that request.
            time: when it arrived.
            path: to which it came, with the query.
        """
        parsed = parse_event(self._system, message, path)
        entry = TimelineEntry(
            number,
            position,
            time if parsed.occurred_at is None else parsed.occurred_at,
            shortened(parsed.name) or UNNAMED,
            parsed.summary,
            parsed.visitor,
            parsed.user,
            parsed.is_identity,
            site=shortened(parsed.site),
            is_bot=parsed.is_bot,
        )
        self._owned.append(_OwnedEntry(entry, self._record(parsed)))
        self._is_assigned = False

    @property
    def users(self) -> list[Person]:
        """The identified people, in the order of their first identification."""
        self._assign()
        return list(self._users.values())

    @property
    def anonymous(self) -> list[Person]:
        """The anonymous visitors."""
        self._assign()
        return [person for person in self._browsers.values() if person.user_id is None]

    def user(self, user_id: str) -> Person | None:
        """The person with a user ID or an alias of it."""
        self._assign()
        found = self._users.get(self._canonical(user_id))
        if found is None and self._system == "sitecore":
            keys = (key for key in (*self._users, *self._same) if key.partition("\n")[2] == user_id)
            found = next((self._users[self._canonical(key)] for key in keys), None)
        return found

    def by_browser(self, anonymous_id: str) -> Person | None:
        """The person to whom a browser belongs now."""
        self._assign()
        return self._browsers.get(anonymous_id)

    def _record(self, parsed: ParsedEvent) -> str | None:
        """Apply an event. Returns the key of its user, if known now."""
        if parsed.key is None:
            return None if parsed.visitor is None else self._linked.get(parsed.visitor)
        key = self._known_key(parsed)
        person = self._users.setdefault(self._canonical(key), Person(parsed.user))
        if parsed.is_identity:
            person.traits.update(parsed.traits or {})
            if parsed.visitor is not None:
                self._link(parsed.visitor, key)
        for other in (parsed.key, *parsed.aliases):
            self._merge(other, key)
        return key

    def _known_key(self, parsed: ParsedEvent) -> str:
        """Return the identifier that is known already, so that a further one does not rename the guest."""
        keys = (str(parsed.key), *(parsed.aliases if parsed.is_identity else ()))
        return next((key for key in keys if self._canonical(key) in self._users), keys[0])

    def _link(self, anonymous_id: str, key: str) -> None:
        self._first.setdefault(anonymous_id, key)
        self._linked[anonymous_id] = key

    def _merge(self, previous_id: str, key: str) -> None:
        """Merge the people of two IDs."""
        previous, own = self._canonical(previous_id), self._canonical(key)
        if previous == own:
            return
        self._link(previous_id, key)  # it may be a browser ID
        self._same[previous] = own
        before = self._users.pop(previous, None)
        if before is not None:
            self._users[own].absorb(before)

    def _canonical(self, key: str) -> str:
        while key in self._same:
            key = self._same[key]
        return key

    def _assign(self) -> None:
        """Assign all events to people, by what is known now."""
        if self._is_assigned:
            return
        self._is_assigned = True
        self._browsers = {}
        for person in self._users.values():
            person.forget_timeline()
        for entry, known_key in self._owned:
            key = known_key if known_key is not None else self._first.get(entry.anonymous_id or "")
            person = self._anonymous_person(entry.anonymous_id) if key is None else self._users[self._canonical(key)]
            person.timeline.append(
                entry._replace(reattributed=True) if known_key is None and key is not None else entry
            )
        seen = {entry.anonymous_id for entry, _ in self._owned}
        linked: dict[str, dict[str, None]] = {}  # the browsers of each user
        for anonymous_id, key in [*self._first.items(), *self._linked.items()]:
            if anonymous_id in seen:
                self._browsers[anonymous_id] = self._users[self._canonical(key)]
                linked.setdefault(self._canonical(key), {})[anonymous_id] = None
        for key, browsers in linked.items():
            self._users[key].anonymous_ids.extend(browsers)

    def _anonymous_person(self, anonymous_id: str | None) -> Person:
        name = anonymous_id or ""
        return self._browsers.setdefault(name, Person(None, [name]))
