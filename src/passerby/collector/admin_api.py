"""The admin API: read what arrived, and set and clear faults, while the collector runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .api_request import MESSAGE_SYSTEMS, SYSTEMS
from .collected_request import CollectedRequest
from .event_stream import EventStream
from .faults import Faults
from .feed import Cursor, Feed, is_number
from .health import Health
from .json_object import JSONObject, json_text, parse_object
from .json_response import refuse, respond
from .person_index import KINDS, Kind, PersonIndex
from .request_handler import read_body
from .store import Store

MAX_BODY = 65_536  # bytes
EXPORT_PAGE = 50  # items read at once, so that slow readers need little memory
DEFAULT_PEOPLE = 200  # of each kind, unless the request sets a limit
DEFAULT_ENTRIES = 500  # of a timeline, unless the request sets a limit
UNKNOWN_SYSTEM = f"expected one of the systems {', '.join(SYSTEMS)}"
VISIBLE_CHARACTERS = 4  # characters of a secret
SECRET = ("authorization", "proxy-authorization", "x-api-key", "cookie")

Name = TypeVar("Name", bound=Literal["sitecore", "customerio", "datalyr"])


class AdminApi:
    """Serves the admin API."""

    def __init__(self, store: Store, feed: Feed, faults: Faults, stream: EventStream, health: Health) -> None:
        self._store = store
        self._feed = feed
        self._faults = faults
        self._stream = stream
        self._health = health
        self._people = PersonIndex(store)

    @property
    def routes(self) -> list[Route]:
        """The routes, without the common prefix."""
        return [
            Route("/faults", self.set_faults, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/events", self.events),
            Route("/messages/{system}", self.messages),
            Route("/people/{system}", self.people),
            Route("/person/{system}", self.person),
            Route("/stats", self.stats),
            Route("/stream", self._stream.handle),
            Route("/requests/{number}", self.request),
            Route("/health", self.health),
            Route("/export", self.export),
            Route("/arrivals", self.clear, methods=["DELETE"]),
        ]

    async def set_faults(self, request: Request) -> Response:
        """Set a fault such as `{"route": "events", "status": 503, "delay": 0.5, "times": 3}`."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # Browsers send a preflight request before a page of another origin may send this type.
            return refuse(415, "expected a fault as application/json")
        body = await read_body(request.receive, MAX_BODY)
        if body is None or len(body) > MAX_BODY:
            return refuse(413, f"expected at most {MAX_BODY:,} bytes")
        try:
            self._faults.apply(parse_object(body))
        except ValueError as exc:
            return refuse(400, str(exc))
        return self._faults_response()

    async def clear_faults(self, request: Request) -> Response:
        """Clear all faults."""
        self._faults.clear()
        return self._faults_response()

    async def events(self, request: Request) -> Response:
        """The accepted events; `?after=N` leaves out those of requests up to number N."""
        after = request.query_params.get("after", "0")
        if not is_number(after):
            return refuse(400, "after: expected the number of a request")
        events = await asyncio.to_thread(self._store.events, int(after))
        return respond({"events": [{"number": number, "time": time, "event": event} for number, time, event in events]})

    async def messages(self, request: Request) -> Response:
        """The accepted messages to `customerio` or `datalyr`."""
        system = _system_in(request, MESSAGE_SYSTEMS)
        if system is None:
            return refuse(404, f"expected one of the systems {', '.join(MESSAGE_SYSTEMS)}")
        return respond({"messages": await asyncio.to_thread(self._store.messages, system)})

    async def people(self, request: Request) -> Response:
        """The people of a system; `?limit=N` of the users and of the anonymous; `?text=` filters them."""
        system, limit = _system_in(request, SYSTEMS), request.query_params.get("limit", str(DEFAULT_PEOPLE))
        if system is None:
            return refuse(404, UNKNOWN_SYSTEM)
        if not is_number(limit):
            return refuse(400, "limit: expected a number of people")
        text = request.query_params.get("text", "")
        return respond(await asyncio.to_thread(self._people.people, system, int(limit), text))

    async def person(self, request: Request) -> Response:
        """One person by `?user=ID`, `?browser=ID` or `?any=ID`, with the latest `?limit=N` timeline entries."""
        system, limit = _system_in(request, SYSTEMS), request.query_params.get("limit", str(DEFAULT_ENTRIES))
        asked: list[tuple[Kind, str]] = [
            (kind, name) for kind in KINDS if (name := request.query_params.get(kind)) is not None
        ]
        if system is None:
            return refuse(404, UNKNOWN_SYSTEM)
        if not is_number(limit):
            return refuse(400, "limit: expected a number of entries")
        if len(asked) != 1:
            return refuse(400, f"expected exactly one parameter of {', '.join(KINDS)}")
        found = await asyncio.to_thread(self._people.person, system, *asked[0], int(limit))
        return respond({"person": found})  # no person is a normal response: links must not lead to errors

    async def stats(self, request: Request) -> Response:
        """The counts, and the routes with faults."""
        return respond({**self._store.counts(), "faults": self._faults.routes})

    async def request(self, request: Request) -> Response:
        """One request as received, and its response."""
        number = request.path_params["number"]
        found = self._store.requests(int(number), 1) if is_number(number) else []
        if not found or found[0].number != int(number):
            return refuse(404, f"found no request {number[:20]}; it may have been deleted")
        return respond(_as_json(found[0]))

    async def health(self, request: Request) -> Response:
        """The health of deliveries and the outbox."""
        return respond(self._health.as_json())

    async def export(self, request: Request) -> Response:
        """Everything that arrived, as lines of JSON."""
        headers = {"content-disposition": 'attachment; filename="arrivals.ndjson"'}
        return StreamingResponse(self._lines(), headers=headers, media_type="application/x-ndjson")

    async def clear(self, request: Request) -> Response:
        """Delete everything that arrived."""
        await asyncio.to_thread(self._store.clear)
        return respond({"status": "OK"})

    async def _lines(self) -> AsyncGenerator[str]:
        pages = self._feed.pages(Cursor(0), self._feed.end, EXPORT_PAGE)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            lines = zip(page.items, page.contents, strict=True)
            yield "".join(f"{json_text({**item._asdict(), 'event': content})}\n" for item, content in lines)

    def _faults_response(self) -> Response:
        return respond({"status": "OK", "faults": self._faults.routes})


def _system_in(request: Request, systems: tuple[Name, ...]) -> Name | None:
    found = request.path_params["system"]
    return next((system for system in systems if system == found), None)


def _as_json(received: CollectedRequest) -> JSONObject:
    return {
        "number": received.number,
        "time": received.time,
        "method": received.method,
        "path": received.path,
        "headers": {name: masked(name, value) for name, value in received.headers.items()},
        "body": received.text,
        "route": received.route,
        "status": received.status,
        "accepted": received.accepted,
        "refusal": received.refusal,
        "is_failed": received.is_failed,
        "response": {"headers": received.response_headers, "body": received.response_body.decode(errors="replace")},
    }


def masked(name: str, value: str) -> str:
    """A header's value; of a secret only the first characters."""
    if name not in SECRET:
        return value
    scheme, space, secret = value.partition(" ") if name.endswith("authorization") else ("", "", value)
    return f"{scheme}{space}{secret[:VISIBLE_CHARACTERS] if len(secret) > 2 * VISIBLE_CHARACTERS else ''}..."
