"""The control path: look at what arrived, and switch misbehaviour on and off, while the collector runs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .ask import SYSTEMS, System
from .exchange import read_body
from .json_object import JSONObject, parse_object
from .people import People, Person
from .scripted import Misbehaviour
from .store import Store

PREFIX = "/_collector"
MAX_ORDER = 65_536  # bytes


class Control:
    """Answer on the control path."""

    def __init__(self, store: Store, misbehaviour: Misbehaviour) -> None:
        self._store = store
        self._misbehaviour = misbehaviour

    def mount(self) -> Mount:
        """The routes, behind their guard."""
        routes = [
            Route("/misbehave", self.misbehave, methods=["POST"]),
            Route("/misbehave", self.behave, methods=["DELETE"]),
            Route("/events", self.events),
            Route("/messages/{system}", self.messages),
            Route("/people/{system}", self.people),
            Route("/stats", self.stats),
        ]
        router = Router(routes, redirect_slashes=False)
        return Mount(PREFIX, app=LoopbackOnly(router))

    async def misbehave(self, request: Request) -> JSONResponse:
        """Carry out an order such as `{"route": "events", "status": 503, "delay": 0.5, "times": 3}`."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            # A page elsewhere cannot send this type to us without being asked first.
            return _refuse(415, "An order is sent as application/json")
        body = await read_body(request.receive, MAX_ORDER)
        if body is None or len(body) > MAX_ORDER:
            return _refuse(413, f"An order has at most {MAX_ORDER:,} bytes")
        try:
            self._misbehaviour.obey(parse_object(body))
        except ValueError as exc:
            return _refuse(400, str(exc))
        return self._misbehaving()

    async def behave(self, request: Request) -> JSONResponse:
        """End all misbehaviour."""
        self._misbehaviour.end()
        return self._misbehaving()

    async def events(self, request: Request) -> JSONResponse:
        """The accepted events; `?after=N` leaves out those of requests up to number N."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            return _refuse(400, "after is the number of a request")
        events = self._store.events(int(after))
        return JSONResponse(
            {"events": [{"number": number, "time": time, "event": event} for number, time, event in events]}
        )

    async def messages(self, request: Request) -> JSONResponse:
        """The accepted messages to `customerio` or `datalyr`."""
        system = _system(request)
        return _no_such_system() if system is None else JSONResponse({"messages": self._store.messages(system)})

    async def people(self, request: Request) -> JSONResponse:
        """Who is who, by what `customerio` or `datalyr` was told."""
        system = _system(request)
        if system is None:
            return _no_such_system()
        people = People(system, self._store.messages(system))
        return JSONResponse({"users": _listed(people.users), "strangers": _listed(people.strangers)})

    async def stats(self, request: Request) -> JSONResponse:
        """How much arrived, and which routes misbehave."""
        return JSONResponse({**self._store.counts(), "misbehaving": self._misbehaviour.routes})

    def _misbehaving(self) -> JSONResponse:
        return JSONResponse({"status": "OK", "misbehaving": self._misbehaviour.routes})


class LoopbackOnly:
    """Refuse whoever is not on this machine, and pages elsewhere that had a name of theirs point here."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        host, _ = scope.get("client") or ("", 0)
        if not is_loopback_name(host):
            refusal = _refuse(403, "The control path is for this machine only")
        elif not is_loopback_name(_hostname(Headers(scope=scope).get("host", ""))):
            refusal = _refuse(403, "The control path is only found under a loopback name, such as localhost")
        else:
            await self.app(scope, receive, send)
            return
        await refusal(scope, receive, send)


def is_loopback_name(name: str) -> bool:
    """Whether a host, without its port, is this machine by its very name."""
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _system(request: Request) -> System | None:
    found = request.path_params["system"]
    return next((system for system in SYSTEMS if system == found), None)


def _no_such_system() -> JSONResponse:
    return _refuse(404, f"Messages are kept of {' and '.join(SYSTEMS)}")


def _listed(people: Iterable[Person]) -> list[JSONObject]:
    return [
        {
            "user_id": one.user_id,
            "anonymous_ids": one.anonymous_ids,
            "traits": one.traits,
            "story": one.story,
        }
        for one in people
    ]


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"status": status, "message": reason}, status_code=status)
