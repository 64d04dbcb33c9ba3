"""What an identity becomes at each system: `python -m tests.identity_table` prints the table for the docs.

Each row is found out by telling an identity twice, once with the field and once without it or with another value, and
looking at which fields of the bodies have changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, cast

from passerby import CustomerIO, Datalyr, Sitecore, Tracking
from passerby.delivery.dry_run import dry_run_mode
from passerby.destinations import Destination
from passerby.events.event import Event
from passerby.testing import capture_events
from tests.making import BROWSER_ID, KEY, OTHER_ID, make_scope

MOMENT = datetime(2025, 9, 29, 10, 15, tzinfo=UTC)

DESTINATIONS: dict[str, Destination] = {
    "Sitecore": Sitecore(client_key="key", target_url="http://localhost:9", point_of_sale="shop"),
    "Customer.io": CustomerIO(write_key="sk_eu_1", target_url="http://localhost:9"),
    'Datalyr, form `"events"`': Datalyr(workspace_id="ws_1", target_url="http://localhost:9", name="events"),
    'Datalyr, form `"track"`': Datalyr(form="track", api_key="dk_1", target_url="http://localhost:9", name="track"),
}
# Where each of them has the one message of the body.
WITHIN = {"Customer.io": "batch", 'Datalyr, form `"events"`': "events"}


@dataclass(frozen=True)
class Telling:
    """One identity as an app tells it: by `identity` if there is event data, else by `identify`."""

    user_id: str = "ada"
    traits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    data: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    path: str = "/signup"
    client: str = "192.0.2.7"
    browser_id: str = BROWSER_ID
    before: str | None = None

    def tell(self, tracking: Tracking) -> Event:
        headers = {"cookie": f"bid_key={self.browser_id}", "user-agent": "Mozilla/5.0", **self.headers}
        tracker = tracking.tracker_for(make_scope(self.path, headers, client=(self.client, 5000)))
        options: Any = {"event_id": "1", "timestamp": MOMENT, **self.options}
        with capture_events() as told:
            if self.before is not None:
                tracker.identify(self.before)
            if self.data is None:
                tracker.identify(self.user_id, {"rest": 1, **self.traits}, **options)
            else:
                tracker.identity({"identifiers": IDENTIFIERS, **self.data}, {"rest": 1, **self.traits}, **options)
        return told.events[-1]


IDENTIFIERS = [{"id": "ada", "provider": "CRM"}]
NOTHING_MORE = Telling()


@dataclass(frozen=True)
class Row:
    """What is told, in the words of the docs; its value; how it is told; and what it is compared with."""

    told: str
    value: Any
    telling: Telling
    other: Telling = NOTHING_MORE


def _trait(name: str, value: Any, written: str | None = None) -> Row:
    shown = json.dumps(value) if written is None else written
    return Row(f"`{name}`: `{shown}`", value, Telling(traits={name: value}))


def _data(told: str, value: Any, data: Mapping[str, Any]) -> Row:
    return Row(told, value, Telling(data=data), Telling(data={}))


def _request(told: str, value: Any, telling: Telling) -> Row:
    return Row(f"request: {told}", value, telling)


ROWS = [
    Row('user ID `"ada"`: of `identify`, or of the identifier', "ada", NOTHING_MORE, Telling("ben")),
    _data(
        'provider `"BXLP"`: `identity_provider`, or the identifier\'s',
        "BXLP",
        {"identifiers": [{"id": "ada", "provider": "BXLP"}]},
    ),
    _data(
        "an identifier's `expiry_date`: `date(2030, 1, 1)`",
        None,
        {"identifiers": [{**IDENTIFIERS[0], "expiry_date": date(2030, 1, 1)}]},
    ),
    _data(
        "a further identifier",
        {"id": "7", "provider": "TILL"},
        {"identifiers": [*IDENTIFIERS, {"id": "7", "provider": "TILL"}]},
    ),
    Row("browser ID", BROWSER_ID, NOTHING_MORE, Telling(browser_id=OTHER_ID)),
    Row(
        'the user ID that this browser had until now, `"ben"`, with `on_user_change="link"`',
        "ben",
        Telling(before="ben"),
    ),
    _trait("email", "ada@shop.example"),
    _trait("first_name", "Ada"),
    _trait("last_name", "Lovelace"),
    _trait("phone", "+442079460000"),
    _trait("mobile", "+447700900000"),
    _trait("dob", date(1815, 12, 10), "date(1815, 12, 10)"),
    _trait("gender", "female"),
    _trait("street", ["12 St James Square"]),
    _trait("city", "London"),
    _trait("state", "LDN"),
    _trait("country", "GB"),
    _trait("postal_code", "SW1Y 4JH"),
    _trait("title", "Countess"),
    _trait("first_name", None, "None"),
    _trait("plan", "pro"),
    _trait("created_at", 1735689600),
    _trait("company", {"name": "Engines", "size": 5}),
    _data("unknown event data of `identity`, such as `nickname`", "Addie", {"nickname": "Addie"}),
    _data("`channel`, or the setting", "WEB", {"channel": "WEB"}),
    _data("`currency`, or the setting", "EUR", {"currency": "EUR"}),
    _data("`point_of_sale`, or the setting", "pos", {"point_of_sale": "pos"}),
    Row("`timestamp`, else now", "2025-09-29T10:15:00.000Z", NOTHING_MORE, Telling(options={"timestamp": 0})),
    Row("`event_id`, else a new one", "1", NOTHING_MORE, Telling(options={"event_id": "2"})),
    Row("`integrations`", {"All": False}, Telling(options={"integrations": {"All": False}})),
    Row('request: path `"/signup"`', "/signup", NOTHING_MORE, Telling(path="/elsewhere")),
    _request('address `"203.0.113.7"`', "203.0.113.7", Telling(client="203.0.113.7")),
    _request('`User-Agent: "Firefox"`', "Firefox", Telling(headers={"user-agent": "Firefox"})),
    _request('`Accept-Language: "en-IE"`', "en-IE", Telling(headers={"accept-language": "en-IE"})),
    _request(
        '`Referer: "https://b.example/"`', "https://b.example/", Telling(headers={"referer": "https://b.example/"})
    ),
    _request("`?utm_source=mail`", "mail", Telling(path="/signup?utm_source=mail")),
]


def table() -> list[list[str]]:
    """The table's rows, the heading first."""
    tracking = Tracking(*DESTINATIONS.values(), secret_key=KEY, identity_provider="CRM", on_user_change="link")
    return [["given", *DESTINATIONS], *([row.told, *_cells(tracking, row)] for row in ROWS)]


def _cells(tracking: Tracking, row: Row) -> Iterator[str]:
    told, other = row.telling.tell(tracking), row.other.tell(tracking)
    for name, destination in DESTINATIONS.items():
        found = dict(_changes(_message(name, destination, told), _message(name, destination, other), row.value))
        yield ", ".join(_shown(path, value, row.value) for path, value in sorted(found.items())) or "-"


def _message(name: str, destination: Destination, event: Event) -> Any:
    body = json.loads(destination.encode([event]).body or b"")
    return body[WITHIN[name]][0] if name in WITHIN else body


def _changes(one: Any, other: Any, told: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give the paths at which a body says something that the other does not; what is there as it was told, whole."""
    if one == other:
        return
    if one != told and isinstance(one, dict):
        before = cast("dict[str, Any]", other) if isinstance(other, dict) else {}
        for name, value in cast("dict[str, Any]", one).items():
            yield from _changes(value, before.get(name, _ABSENT), told, f"{path}.{name}" if path else name)
    elif one != told and _has_objects(one):
        earlier = other if isinstance(other, list) else []
        for number, value in enumerate(one):
            before_it = earlier[number] if number < len(earlier) else _ABSENT
            yield from _changes(value, before_it, told, f"{path}[{number}]")
    else:
        yield path, one


_ABSENT = object()


def _has_objects(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in cast("list[object]", value))


def _shown(path: str, value: Any, told: Any) -> str:
    return f"`{path}`" if value == told else f"`{path}`: `{json.dumps(value)}`"


if __name__ == "__main__":
    dry_run_mode.start()  # as under pytest: nothing is sent
    heading, *rows = table()
    for cells in (heading, ["---"] * len(heading), *rows):
        print(f"| {' | '.join(cells)} |")
