"""The control path: look at what arrived, and switch misbehaviour on and off, while the collector runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .ask import PLAYED, SYSTEMS
from .crowd import KINDS, Crowd, Kind
from .exchange import read_body
from .feed import Cursor, Feed, is_number
from .health import Health
from .json_object import JSONObject, json_text, parse_object
from .received import Received
from .response import refuse, respond
from .scripted import Misbehaviour
from .store import Store
from .stream import Stream

MAX_ORDER = 65_536  # bytes
EXPORTED = 50  # items read at once, so that little waits for who does not read it
PEOPLE = 200  # listed of each kind unless told otherwise
ENTRIES = 500  # of a timeline unless told otherwise
KNOWN = f"People are known of {', '.join(PLAYED)}"
SHOWN = 4  # characters of a secret
SECRET = ("authorization", "proxy-authorization", "x-api-key", "cookie")

Name = TypeVar("Name", bound=Literal["sitecore", "customerio", "datalyr"])


class Control:
    """Answer on the control path."""

    def __init__(self, store: Store, feed: Feed, misbehaviour: Misbehaviour, stream: Stream, health: Health) -> None:
        self._store = store
        self._feed = feed
        self._misbehaviour = misbehaviour
        self._stream = stream
        self._health = health
        self._crowd = Crowd(store)

    @property
    def routes(self) -> list[Route]:
        """The paths, without what they all begin with."""
        return [
            Route("/misbehave", self.misbehave, methods=["POST"]),
            Route("/misbehave", self.behave, methods=["DELETE"]),
            Route("/events", self.events),
            Route("/messages/{system}", self.messages),
            Route("/people/{system}", self.people),
            Route("/person/{system}", self.person),
            Route("/stats", self.stats),
            Route("/stream", self._stream.answer),
            Route("/requests/{number}", self.request),
            Route("/health", self.health),
            Route("/export", self.export),
            Route("/arrivals", self.clear, methods=["DELETE"]),
        ]

    async def misbehave(self, request: Request) -> Response:
        """Carry out an order such as `{"route": "events", "status": 503, "delay": 0.5, "times": 3}`."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A page elsewhere cannot send this type to us without being asked first.
            return refuse(415, "An order is sent as application/json")
        body = await read_body(request.receive, MAX_ORDER)
        if body is None or len(body) > MAX_ORDER:
            return refuse(413, f"An order has at most {MAX_ORDER:,} bytes")
        try:
            self._misbehaviour.obey(parse_object(body))
        except ValueError as exc:
            return refuse(400, str(exc))
        return self._misbehaving()

    async def behave(self, request: Request) -> Response:
        """End all misbehaviour."""
        self._misbehaviour.end()
        return self._misbehaving()

    async def events(self, request: Request) -> Response:
        """The accepted events; `?after=N` leaves out those of requests up to number N."""
        after = request.query_params.get("after", "0")
        if not is_number(after):
            return refuse(400, "after is the number of a request")
        events = await asyncio.to_thread(self._store.events, int(after))
        return respond({"events": [{"number": number, "time": time, "event": event} for number, time, event in events]})

    async def messages(self, request: Request) -> Response:
        """The accepted messages to `customerio` or `datalyr`."""
        system = _named(request, SYSTEMS)
        if system is None:
            return refuse(404, f"Messages are kept of {' and '.join(SYSTEMS)}")
        return respond({"messages": await asyncio.to_thread(self._store.messages, system)})

    async def people(self, request: Request) -> Response:
        """Who is who, by what a system was told; `?limit=N` of the users, and of the strangers; `?text=` finds some."""
        system, limit = _named(request, PLAYED), request.query_params.get("limit", str(PEOPLE))
        if system is None:
            return refuse(404, KNOWN)
        if not is_number(limit):
            return refuse(400, "limit is how many to list")
        text = request.query_params.get("text", "")
        return respond(await asyncio.to_thread(self._crowd.people, system, int(limit), text))

    async def person(self, request: Request) -> Response:
        """Somebody by `?user=ID`, `?browser=ID` or `?any=ID`, with the latest `?limit=N` entries of the timeline."""
        system, limit = _named(request, PLAYED), request.query_params.get("limit", str(ENTRIES))
        asked: list[tuple[Kind, str]] = [
            (kind, name) for kind in KINDS if (name := request.query_params.get(kind)) is not None
        ]
        if system is None:
            return refuse(404, KNOWN)
        if not is_number(limit):
            return refuse(400, "limit is how many entries to list")
        if len(asked) != 1:
            return refuse(400, f"Somebody is found by one of {', '.join(KINDS)}")
        found = await asyncio.to_thread(self._crowd.person, system, *asked[0], int(limit))
        return respond({"person": found})  # nobody is an answer, too: who follows a link here is not to see an error

    async def stats(self, request: Request) -> Response:
        """How much arrived, and which routes misbehave."""
        return respond({**self._store.counts(), "misbehaving": self._misbehaviour.routes})

    async def request(self, request: Request) -> Response:
        """One request as it came, and what was answered."""
        number = request.path_params["number"]
        found = self._store.requests(int(number), 1) if is_number(number) else []
        if not found or found[0].number != int(number):
            return refuse(404, f"There is no request {number[:20]}; it may have been cleared")
        return respond(_as_json(found[0]))

    async def health(self, request: Request) -> Response:
        """How things go."""
        return respond(self._health.as_json())

    async def export(self, request: Request) -> Response:
        """All that arrived, in lines of JSON."""
        headers = {"content-disposition": 'attachment; filename="arrivals.ndjson"'}
        return StreamingResponse(self._lines(), headers=headers, media_type="application/x-ndjson")

    async def clear(self, request: Request) -> Response:
        """Forget all that has arrived."""
        await asyncio.to_thread(self._store.clear)
        return respond({"status": "OK"})

    async def _lines(self) -> AsyncGenerator[str]:
        pages = self._feed.pages(Cursor(0), self._feed.end, EXPORTED)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            lines = zip(page.items, page.contents, strict=True)
            yield "".join(f"{json_text({**item._asdict(), 'event': content})}\n" for item, content in lines)

    def _misbehaving(self) -> Response:
        return respond({"status": "OK", "misbehaving": self._misbehaviour.routes})


def _named(request: Request, systems: tuple[Name, ...]) -> Name | None:
    found = request.path_params["system"]
    return next((system for system in systems if system == found), None)


def _as_json(received: Received) -> JSONObject:
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
        "answer": {"headers": received.answer_headers, "body": received.answer_body.decode(errors="replace")},
    }


def masked(name: str, value: str) -> str:
    """A header's value, with little of it where it is a secret."""
    if name not in SECRET:
        return value
    scheme, space, secret = value.partition(" ") if name.endswith("authorization") else ("", "", value)
    return f"{scheme}{space}{secret[:SHOWN] if len(secret) > 2 * SHOWN else ''}..."
