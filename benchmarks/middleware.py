"""CPU time that middleware adds to a request of a Starlette app, called in process without a network.

The CPU time is that of the thread that serves the requests. passerby's background thread has nothing to do here but to
wake up now and then; what the whole process takes is shown beside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from operator import sub, truediv
from typing import Any, NamedTuple
from uuid import uuid4

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passerby import Tracking
from passerby.asgi import TrackingMiddleware
from passerby.values.browser_id import IssuedId

from .measure import Cpu, Result, Spread, cpu_of, pairwise, take_turns
from .traffic import COOKIE_NAME, PATH, receive, scope_with, silent_tracking

TITLE = "CPU time added to a request of a Starlette app; the thread that serves, beside it the whole process"

ROUNDS = 15
REQUESTS = 400  # a round
VISITORS = 400
SECRET = "a long secret that only the benchmark knows"
BARE = "bare Starlette"
_PAGE = b"<!doctype html><title>Shoes</title>" + b"<p>A shoe.</p>" * 100

Cookies = Callable[[int], tuple[str, ...]]


class Contestant(NamedTuple):
    """An app, the cookies with which its visitors come, and whether its answers set one."""

    app: Starlette
    cookies: Cookies
    sets_cookie: bool = False


class NoOp:
    """The least that a middleware can be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def run() -> Iterator[Result]:
    with ExitStack() as stack:
        contestants = _contestants(stack)
        for name, one in contestants.items():
            _check(name, one)
        measured = take_turns({name: _timer(one) for name, one in contestants.items()}, ROUNDS)
    yield from _results(measured)


def _results(measured: dict[str, list[Cpu]]) -> Iterator[Result]:
    threads = {name: [one.thread * 1e6 / REQUESTS for one in cpus] for name, cpus in measured.items()}
    processes = {name: [one.process * 1e6 / REQUESTS for one in cpus] for name, cpus in measured.items()}
    yield Result(f"middleware: {BARE}, whole request", Spread.of(threads[BARE]), "us")
    for name in (name for name in measured if name != BARE):
        yield Result(f"middleware: {name}", pairwise(sub, threads[name], threads[BARE]), "us")
    for name in (name for name in measured if "visitor" in name):
        yield Result(f"middleware: {name}, process", pairwise(sub, processes[name], processes[BARE]), "us")
    yield Result(
        "middleware: returning visitor, whole request / bare",
        pairwise(truediv, threads["returning visitor"], threads[BARE]),
        "x",
    )


def _contestants(stack: ExitStack) -> dict[str, Contestant]:
    plain, signed, waiting, signed_waiting = (
        stack.enter_context(silent_tracking(secret_key=key)) for key in (None, SECRET, None, SECRET)
    )
    browser_ids = [str(uuid4()) for _ in range(VISITORS)]
    signatures = [_signature(signed, browser_id) for browser_id in browser_ids]
    session = _session_cookie()

    def returning(number: int) -> tuple[str, ...]:
        return (f"{COOKIE_NAME}={browser_ids[number % VISITORS]}",)

    def returning_signed(number: int) -> tuple[str, ...]:
        return (*returning(number), f"{COOKIE_NAME}_sig={signatures[number % VISITORS]}")

    def returning_unverified(number: int) -> tuple[str, ...]:
        browser_id = str(uuid4())
        return f"{COOKIE_NAME}={browser_id}", f"{COOKIE_NAME}_sig={_signature(signed, browser_id)}"

    def with_session(number: int) -> tuple[str, ...]:
        return (session,)

    def new(number: int) -> tuple[str, ...]:
        return ()

    for tracking in (waiting, signed_waiting):
        _fill_pool(tracking, (ROUNDS + 2) * REQUESTS)
    return {
        BARE: Contestant(_app(), returning),
        "no-op wrapper": Contestant(_app(NoOp), returning),
        "SessionMiddleware, session read": Contestant(_app(SessionMiddleware, _read, secret_key=SECRET), with_session),
        "SessionMiddleware, session written": Contestant(
            _app(SessionMiddleware, _write, secret_key=SECRET), with_session, sets_cookie=True
        ),
        "returning visitor": Contestant(_tracked(plain), returning),
        "returning visitor, signed cookie": Contestant(_tracked(signed), returning_signed),
        "returning visitor, signature seen for the first time": Contestant(_tracked(signed), returning_unverified),
        "new visitor, ID from the pool": Contestant(_tracked(waiting), new, sets_cookie=True),
        "new visitor, ID from the pool, signed": Contestant(_tracked(signed_waiting), new, sets_cookie=True),
        "returning visitor and page_view()": Contestant(_tracked(plain, _view), returning),
        "returning visitor, signed cookie, and page_view()": Contestant(_tracked(signed, _view), returning_signed),
    }


async def _show(request: Request) -> Response:
    return HTMLResponse(_PAGE)


async def _read(request: Request) -> Response:
    request.session.get("user")
    return HTMLResponse(_PAGE)


async def _write(request: Request) -> Response:
    request.session["user"] = "user-123"
    return HTMLResponse(_PAGE)


async def _view(request: Request) -> Response:
    request.state.tracker.page_view()
    return HTMLResponse(_PAGE)


def _app(middleware: Any = None, endpoint: Any = _show, **options: Any) -> Starlette:
    app = Starlette(routes=[Route(PATH, endpoint)])
    if middleware is not None:
        app.add_middleware(middleware, **options)
    return app


def _tracked(tracking: Tracking, endpoint: Any = _show) -> Starlette:
    return _app(TrackingMiddleware, endpoint, tracking=tracking)


def _timer(contestant: Contestant) -> Callable[[], Cpu]:
    """Time the app's answers to some requests; making the requests is not timed."""

    async def serve(scopes: list[dict[str, Any]]) -> None:
        while scopes:  # a server lets go of a request once it is answered
            await contestant.app(scopes.pop(), receive, _ignore)

    def measure() -> Cpu:
        scopes = [scope_with(*contestant.cookies(number)) for number in range(REQUESTS)]
        with asyncio.Runner() as runner:
            runner.get_loop()
            return cpu_of(lambda: runner.run(serve(scopes)))

    return measure


def _check(name: str, contestant: Contestant) -> None:
    """See that the app answers as is thought; what is fast because it is broken is not measured."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(contestant.app(scope_with(*contestant.cookies(0)), receive, send))
    has_cookie = any(header == b"set-cookie" for header, _ in messages[0]["headers"])
    if messages[0]["status"] != 200 or has_cookie is not contestant.sets_cookie:
        raise RuntimeError(
            f"{name}: found {messages[0]}, expected 200 with{'' if contestant.sets_cookie else 'out'} cookie"
        )


async def _ignore(message: Message) -> None:
    pass


def _session_cookie() -> str:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(_app(SessionMiddleware, _write, secret_key=SECRET)(scope_with(), receive, send))
    headers = dict(messages[0]["headers"])
    return str(headers[b"set-cookie"].decode("latin-1").partition(";")[0])


def _signature(tracking: Tracking, browser_id: str) -> str:
    """What the second cookie of a visitor with this ID carries."""
    headers: list[tuple[bytes, bytes]] = []
    tracking.handle_cookie_sync(scope_with(f"{COOKIE_NAME}={browser_id}"), headers)
    prefix = f"{COOKIE_NAME}_sig=".encode()
    return next(value for _, value in headers if value.startswith(prefix)).partition(b";")[0][len(prefix) :].decode()


def _fill_pool(tracking: Tracking, count: int) -> None:
    """Do what the background thread does when the service has made IDs, ahead of all visitors."""
    pool = tracking._client.browser_ids.pool
    for _ in range(count):
        pool.expect()
        pool.add(IssuedId(str(uuid4())))
