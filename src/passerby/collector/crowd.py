"""Everybody of whom the systems were told, for the page: kept up to date from the store instead of read anew.

However many people there are and whatever they did, an answer has a bound: a list says of each only a few facts, and
one person comes with the latest part of a timeline.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence, Set
from typing import Any, Literal

from .ask import PLAYED, Played
from .json_object import JSONObject
from .people import Entry, People, Person
from .store import Store
from .telling import shortened

ROWS = 1_000  # read at once
MOST_PEOPLE = 1_000  # listed of each kind
MOST_ENTRIES = 5_000  # of a timeline
MOST_IDS = 20  # browsers named of a person
HALF_LETTER = re.compile("[\ud800-\udfff]")  # JSON may hold some, an address may not
REPLACED = "\N{REPLACEMENT CHARACTER}"

Kind = Literal["user", "browser", "any"]  # of an ID

KINDS: tuple[Kind, ...] = ("user", "browser", "any")


class Crowd:
    """Reads the store on from where it was. May be used by several threads."""

    def __init__(self, store: Store) -> None:
        self._groups = {system: _Group(store, system) for system in PLAYED}

    def people(self, system: Played, limit: int, text: str = "") -> JSONObject:
        """The users and the strangers, at most so many of each, those first of whom something arrived last.

        Args:
            system: who was told of them.
            limit: how many of each; more than `MOST_PEOPLE` are never listed.
            text: words that are all in somebody's name, email or IDs; the totals count those only.
        """
        group, words = self._groups[system], text.lower().split()
        with group.lock:
            people = group.up_to_date()
            users, strangers = _having(people.users, words), _having(people.strangers, words)
            return {
                "users": _latest(users, limit),
                "strangers": _latest(strangers, limit),
                "total_users": len(users),
                "total_strangers": len(strangers),
            }

    def person(self, system: Played, kind: Kind, name: str, limit: int) -> JSONObject | None:
        """Somebody by an ID, with at most so many entries of the timeline, the latest; None if there is nobody."""
        group = self._groups[system]
        with group.lock:
            found = _find(group.up_to_date(), kind, name)
            return None if found is None else _at_length(found, limit)


class _Group:
    """Those of one system."""

    def __init__(self, store: Store, system: Played) -> None:
        self.lock = threading.Lock()
        self._store = store
        self._system: Played = system
        self._clears: int = store.clears
        self._people = People(system)
        self._after = (0, 0)

    def up_to_date(self) -> People:
        if self._clears != self._store.clears:
            self._clears, self._people, self._after = self._store.clears, People(self._system), (0, 0)
        while taken := self._store.taken(self._system, self._after, ROWS):
            for one in taken:
                self._people.add(one.message, one.number, one.position, one.time)
            self._after = taken[-1].number, taken[-1].position
        return self._people


def _find(people: People, kind: Kind, name: str) -> Person | None:
    found = None if kind == "browser" else people.user(name)
    if found is None and kind != "user":
        found = people.of_browser(name)
    if found is None and REPLACED in name:
        everybody = [*people.users, *people.strangers]
        found = next((one for one in everybody if name in map(_in_address, _ids_of(one, kind))), None)
    return found


def _ids_of(person: Person, kind: Kind) -> list[str]:
    user_ids = [] if kind == "browser" or person.user_id is None else [person.user_id]
    return user_ids if kind == "user" else [*user_ids, *person.anonymous_ids]


def _in_address(name: str) -> str:
    return HALF_LETTER.sub(REPLACED, name)


def _having(people: Sequence[Person], words: Sequence[str]) -> Sequence[Person]:
    return [one for one in people if all(word in _words_of(one) for word in words)] if words else people


def _words_of(person: Person) -> str:
    texts = (_name_in(person.traits), _text_in(person.traits, "email"), *_ids_of(person, "any"))
    return "\n".join(filter(None, texts)).lower()


def _latest(people: Sequence[Person], limit: int) -> list[JSONObject]:
    active = sorted((one for one in people if one.timeline), key=lambda one: one.timeline[-1][:2], reverse=True)
    quiet = (one for one in people if not one.timeline)
    return [_in_short(one) for one in [*active, *quiet][: min(limit, MOST_PEOPLE)]]


def _in_short(person: Person) -> JSONObject:
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
    }


def _at_length(person: Person, limit: int) -> JSONObject:
    timeline = sorted(person.timeline, key=lambda entry: entry.time)  # what happened first may have arrived late
    begin = max(0, len(timeline) - min(limit, MOST_ENTRIES))
    earlier, latest = timeline[:begin], timeline[begin:]
    return {
        **_in_short(person),
        "traits": person.traits,
        "timeline": [entry._asdict() for entry in latest],
        "earlier": _earlier(person, earlier, {entry.anonymous_id for entry in latest}),
    }


def _earlier(person: Person, entries: Sequence[Entry], browsers: Set[str | None]) -> JSONObject:
    """What the rest of a timeline cannot be told without: who was known already, and by which browsers."""
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


def _is_known(person: Person, entry: Entry) -> bool:
    return person.user_id is not None and not entry.reattributed


def _name_in(traits: JSONObject) -> str | None:
    """What somebody is called, in whatever case it is written."""
    first = _text_in(traits, "first_name", "firstName", "firstname")
    last = _text_in(traits, "last_name", "lastName", "lastname")
    return shortened(" ".join(filter(None, (first, last)))) or _text_in(traits, "name", "username")


def _text_in(traits: JSONObject, *names: str) -> str | None:
    texts: list[Any] = [traits.get(name) for name in names]
    return next((shortened(text.strip()) for text in texts if isinstance(text, str) and text.strip()), None)
