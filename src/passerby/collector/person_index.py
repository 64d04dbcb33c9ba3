"""The people of all systems for the page, updated from the store instead of read again.

The size of a response is limited: a list has only a few facts of each person, and one person has the latest part of
the timeline.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any, Literal

from .api_request import SYSTEMS, System
from .json_object import JSONObject
from .parsed_event import shortened
from .people import People, Person, TimelineEntry
from .store import Store
from .stream_api import guest_id_of

ROWS = 1_000  # read at once
MOST_PEOPLE = 1_000  # listed of each kind
MOST_ENTRIES = 5_000  # of a timeline
MOST_IDS = 20  # browsers, guests or sites named of a person
SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may contain them, a URL may not
REPLACED = "\N{REPLACEMENT CHARACTER}"

Kind = Literal["user", "browser", "any"]  # of an ID

KINDS: tuple[Kind, ...] = ("user", "browser", "any")


class PersonIndex:
    """Reads new messages from the store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._groups = {system: _SystemIndex(store, system) for system in SYSTEMS}

    def people(self, system: System, limit: int, text: str = "") -> JSONObject:
        """List users and anonymous visitors, at most `limit` of each, latest activity first.

        Args:
            system: the system that received their events.
            limit: how many of each, at most `MOST_PEOPLE`.
            text: words that name, email, IDs or sites must all contain; the totals count only matches.
        """
        group, words = self._groups[system], text.lower().split()
        with group.lock:
            people = group.update()
            users, anonymous = (_matching(each, words, system) for each in (people.users, people.anonymous))
            return {
                "users": _latest(users, limit),
                "anonymous": _latest(anonymous, limit),
                "total_users": len(users),
                "total_anonymous": len(anonymous),
            }

    def person(self, system: System, kind: Kind, name: str, limit: int) -> JSONObject | None:
        """Find a person by an ID, with the latest `limit` timeline entries; None if there is none."""
        group = self._groups[system]
        with group.lock:
            found = _find(group.update(), kind, name)
            return None if found is None else {**_detailed(found, limit), "guest_ids": _guests_of(found, system)}


class _SystemIndex:
    """The people of one system."""

    def __init__(self, store: Store, system: System) -> None:
        self.lock = threading.Lock()
        self._store = store
        self._system: System = system
        self._clears: int = store.clears
        self._people = People(system)
        self._after = (0, 0)

    def update(self) -> People:
        if self._clears != self._store.clears:
            self._clears, self._people, self._after = self._store.clears, People(self._system), (0, 0)
        while taken := self._store.accepted(self._system, self._after, ROWS):
            for one in taken:
                self._people.add(one.message, one.number, one.position, one.time, one.path)
            self._after = taken[-1].number, taken[-1].position
        return self._people


def _find(people: People, kind: Kind, name: str) -> Person | None:
    found = None if kind == "browser" else people.user(name)
    if found is None and kind != "user":
        found = people.by_browser(name)
    if found is None and REPLACED in name:
        all_people = [*people.users, *people.anonymous]
        found = next((one for one in all_people if name in map(_as_in_url, _ids_of(one, kind))), None)
    return found


def _ids_of(person: Person, kind: Kind) -> list[str]:
    user_ids = [] if kind == "browser" or person.user_id is None else [person.user_id]
    return user_ids if kind == "user" else [*user_ids, *person.anonymous_ids]


def _as_in_url(name: str) -> str:
    return SURROGATE.sub(REPLACED, name)


def _matching(people: Sequence[Person], words: Sequence[str], system: System) -> Sequence[Person]:
    if not words:
        return people
    texts = ((one, _search_text(one, system)) for one in people)
    return [one for one, text in texts if all(word in text for word in words)]


def _guests_of(person: Person, system: System) -> list[str]:
    """The guest IDs of the browsers that are named."""
    names = person.anonymous_ids[-MOST_IDS:] if system == "sitecore" else ()
    return [guest_id_of(name) for name in names if name]


def _search_text(person: Person, system: System) -> str:
    named = (_name_in(person.traits), _text_in(person.traits, "email"), "bot" if person.is_bot else None)
    texts = (*named, *_ids_of(person, "any"), *_guests_of(person, system), *person.sites)
    return "\n".join(filter(None, texts)).lower()


def _latest(people: Sequence[Person], limit: int) -> list[JSONObject]:
    active = sorted((one for one in people if one.timeline), key=lambda one: one.timeline[-1][:2], reverse=True)
    quiet = (one for one in people if not one.timeline)
    return [_brief(one) for one in [*active, *quiet][: min(limit, MOST_PEOPLE)]]


def _brief(person: Person) -> JSONObject:
    times = [entry.time for entry in person.timeline]
    return {
        "user_id": person.user_id,
        "name": _name_in(person.traits),
        "email": _text_in(person.traits, "email"),
        "anonymous_ids": person.anonymous_ids[-MOST_IDS:],
        "devices": len(person.anonymous_ids) - person.anonymous_ids.count(""),
        "first": min(times, default=None),
        "last": max(times, default=None),
        "events": len(times),
        "sites": person.sites[:MOST_IDS],
        "is_bot": person.is_bot,
    }


def _detailed(person: Person, limit: int) -> JSONObject:
    timeline = sorted(person.timeline, key=lambda entry: entry.time)  # events may arrive out of order
    begin = max(0, len(timeline) - min(limit, MOST_ENTRIES))
    earlier, latest = timeline[:begin], timeline[begin:]
    return {
        **_brief(person),
        "traits": person.traits,
        "timeline": [entry._asdict() for entry in latest],
        "earlier": _earlier(person, earlier, {entry.anonymous_id for entry in latest}),
    }


def _earlier(person: Person, entries: Sequence[TimelineEntry], browsers: Set[str | None]) -> JSONObject:
    """What the page needs of the earlier entries: whether the person was identified, and by which browsers."""
    anonymous = Counter(entry.anonymous_id for entry in entries if not _is_known(person, entry))
    known = {entry.anonymous_id for entry in entries if _is_known(person, entry)}
    return {
        "is_known": bool(known),
        "browsers": [
            {"anonymous_id": name, "anonymous": anonymous[name], "is_known": name in known}
            for name in sorted(browsers & (anonymous.keys() | known), key=str)
            if name is not None
        ],
    }


def _is_known(person: Person, entry: TimelineEntry) -> bool:
    return person.user_id is not None and not entry.reattributed


def _name_in(traits: JSONObject) -> str | None:
    """The name among the traits, in any of the usual spellings."""
    first = _text_in(traits, "first_name", "firstName", "firstname")
    last = _text_in(traits, "last_name", "lastName", "lastname")
    return shortened(" ".join(filter(None, (first, last)))) or _text_in(traits, "name", "username")


def _text_in(traits: JSONObject, *names: str) -> str | None:
    texts: list[Any] = [traits.get(name) for name in names]
    return next((shortened(text.strip()) for text in texts if isinstance(text, str) and text.strip()), None)
