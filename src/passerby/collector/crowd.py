"""Everybody of whom the systems were told, for the page: kept up to date from the store instead of read anew."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from .ask import PLAYED, Played
from .json_object import JSONObject
from .people import People, Person
from .store import Store

ROWS = 1_000  # read at once
TIMELINE = 500  # entries shown of a person, the latest


class Crowd:
    """Reads the store on from where it was. May be used by several threads."""

    def __init__(self, store: Store) -> None:
        self._groups = {system: _Group(store, system) for system in PLAYED}

    def as_json(self, system: Played, limit: int) -> JSONObject:
        """The users and the strangers, at most so many of each, those first of whom something arrived last."""
        group = self._groups[system]
        with group.lock:
            people = group.up_to_date()
            return {
                "users": _latest(people.users, limit),
                "strangers": _latest(people.strangers, limit),
                "total_users": len(people.users),
                "total_strangers": len(people.strangers),
            }


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


def _latest(people: Sequence[Person], limit: int) -> list[JSONObject]:
    active = sorted((one for one in people if one.timeline), key=lambda one: one.timeline[-1][:2], reverse=True)
    return [_as_json(one) for one in [*active, *(one for one in people if not one.timeline)][:limit]]


def _as_json(person: Person) -> JSONObject:
    timeline = sorted(person.timeline, key=lambda entry: entry.time)  # what happened first may have arrived late
    return {
        "user_id": person.user_id,
        "anonymous_ids": person.anonymous_ids,
        "traits": person.traits,
        "story": person.story[-TIMELINE:],
        "first": timeline[0].time if timeline else None,
        "last": timeline[-1].time if timeline else None,
        "events": len(timeline),
        "timeline": [entry._asdict() for entry in timeline[-TIMELINE:]],
    }
