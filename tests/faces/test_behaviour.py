"""What a visitor sees is the same whatever the framework and the server: one suite over all faces."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from wsgiref.validate import validator

import httpx
import pytest

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.testing import CapturedEvents
from tests.making import OTHER_ID, eventually_async, let_go, value_of
from tests.user_agents import BOTS

from .clients import InLoop, InThread, Site, raw_answer
from .pages import JSON, PIECE
from .servers import ASGI_SERVERS, WSGI_SERVERS, serving
from .sites import ASGI, BARE, FACES, WSGI, make_tracking

BID = "bid_key"

# Django under ASGI says the one of its own FileResponse, and the other where a response breaks off.
pytestmark = [
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators"),
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile"),
]

# granian wants the response started before the body is asked for, and leaves out the headers of one that is not.
# Under gevent there is one thread, and asyncio allows one loop in it: while delivery runs, no async view can.
UNFIT = {("raw-wsgi", "granian"), ("django-wsgi", "gunicorn-gevent")}
ONE_OF_EACH = {"uvicorn", "gunicorn-sync"}
BEHIND_SERVERS = [
    pytest.param(
        (face, command),
        id=f"{face}-{name}",
        marks=[pytest.mark.servers, *([] if name in ONE_OF_EACH else [pytest.mark.long])],
    )
    for faces, servers in ((ASGI, ASGI_SERVERS), (WSGI, WSGI_SERVERS))
    for name, command in servers.items()
    for face in faces
    if (face, name) not in UNFIT
]
IN_PROCESS = [pytest.param((face, None), id=face) for face in FACES]

# What knows nothing of a tracker.
PLAIN = [
    ("GET", "/json"),
    ("HEAD", "/json"),
    ("GET", "/file"),
    ("HEAD", "/file"),
    ("GET", "/nothing"),
    ("POST", "/upload"),
]

# What our own mistakes would be logged as.
MISHAPS = (
    *("internal error", "nothing is tracked", "cannot ", "the delivery thread failed", "consent callable raised"),
    *("RuntimeWarning", "ResourceWarning"),
)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """An app, in this process or behind a real server."""
    face, command = request.param
    with CollectorServer() as collector:
        if command is None:
            tracking = make_tracking(collector.url)
            tracking.start()
            transport = transport_to(face, tracking)
            yield Site(collector, lambda: transport)
            tracking.close(1.0)
            return
        with serving(command, face=face, collector=collector.url) as server:
            yield Site(collector, httpx.AsyncHTTPTransport, server)
            mishaps = [line for line in server.log.splitlines() if any(mishap in line for mishap in MISHAPS)]
            assert not mishaps, server.log


def transport_to(face: str, tracking: Tracking | None) -> httpx.AsyncBaseTransport:
    app = FACES[face](tracking)
    if face in ASGI:
        return InLoop(app)
    return InThread(validator(app) if face == "raw-wsgi" else app)  # the frameworks break a rule or two themselves


everywhere = pytest.mark.parametrize("site", [*IN_PROCESS, *BEHIND_SERVERS], indirect=True)
behind_servers = pytest.mark.parametrize("site", BEHIND_SERVERS, indirect=True)
in_process = pytest.mark.parametrize("face", FACES)


def pairs_of(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The headers but for the date, our cookies, and what keeps those out of caches."""
    ours = (b"set-cookie", b"bid_key")
    pairs = [(name.lower(), value) for name, value in response.headers.raw]
    added = (b"cache-control", b"private")
    kept = [pair for pair in pairs if pair[0] != b"date" and (pair[0], pair[1][:7]) != ours and pair != added]
    return [(name, b"no-cache" if value == b"no-cache, private" else value) for name, value in kept]


def cookies_of(response: httpx.Response) -> list[str]:
    return [line for line in response.headers.get_list("set-cookie") if line.startswith(BID)]


@pytest.mark.smoke
@everywhere
async def test_a_first_visit_and_a_return(site: Site) -> None:
    """U41: the very first request knows the ID that its response sets."""
    async with site.visit() as browser:
        first = await browser.get("/")
        assert first.status_code == 200
        assert [line.partition("=")[0] for line in cookies_of(first)] == [BID, "bid_key_sig"]
        assert first.text == value_of(cookies_of(first)[0]) in site.collector.browser_ids
        again = await browser.get("/")
        assert (again.text, cookies_of(again)) == (first.text, [])
        await eventually_async(lambda: site.types_of(first.text) == ["VIEW", "VIEW"])


@everywhere
async def test_a_tampered_cookie_is_a_new_visitor(site: Site) -> None:
    async with site.visit() as browser:
        first = await browser.get("/")
        browser.cookies.set(BID, OTHER_ID, domain="127.0.0.1")
        again = await browser.get("/")
        assert again.text not in (OTHER_ID, first.text)
        assert value_of(cookies_of(again)[0]) == again.text


@everywhere
async def test_a_streamed_response_knows_its_visitor_to_the_end(site: Site) -> None:
    async with site.visit() as browser:
        streamed = await browser.get("/stream")
        browser_id = value_of(cookies_of(streamed)[0])
        assert streamed.text == f"{browser_id};" * 3
        await eventually_async(lambda: site.types_of(browser_id) == ["STREAMED"])


@everywhere
async def test_head_sets_no_cookie(site: Site) -> None:
    async with site.visit() as browser:
        head = await browser.head("/json")
        assert (head.status_code, head.content, cookies_of(head)) == (200, b"", [])
        assert head.headers["content-type"] == "application/json"


@everywhere
@pytest.mark.parametrize(("path", "status"), [("/nothing", 204), ("/unmodified", 304)])
async def test_a_response_without_a_body(site: Site, path: str, status: int) -> None:
    async with site.visit() as browser:
        answer = await browser.get(path)
        assert (answer.status_code, answer.content) == (status, b"")
        assert value_of(cookies_of(answer)[0]) in site.collector.browser_ids


@everywhere
async def test_an_exception_before_the_response_starts(site: Site) -> None:
    async with site.visit() as browser:
        assert (await browser.get("/fail")).status_code == 500
    async with site.visit() as browser:
        assert (await browser.get("/")).status_code == 200


@everywhere
async def test_an_exception_in_the_middle_of_the_response(site: Site) -> None:
    async with site.visit() as browser:
        try:
            text = (await browser.get("/break")).text
        except httpx.RemoteProtocolError:  # it was cut off
            text = PIECE
        assert text.startswith(PIECE) or text == ""
    async with site.visit() as browser:
        assert (await browser.get("/")).status_code == 200
    gc.collect()  # what it has left open is to be seen here


@everywhere
async def test_a_large_upload(site: Site) -> None:
    body = bytes(range(256)) * 32_768  # 8 MB
    async with site.visit() as browser:
        answer = await browser.post("/upload", content=body)
        assert answer.text == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


@everywhere
async def test_the_user_is_remembered_until_the_log_out(site: Site) -> None:
    async with site.visit() as browser:
        browser_id = (await browser.get("/")).text
        assert (await browser.post("/login?user=user_1")).text == "user_1"
        assert (await browser.get("/who")).text == f"{browser_id} user_1 True"
        assert (await browser.post("/logout")).text == "None"
        assert (await browser.get("/who")).text == f"{browser_id} None True"
        await eventually_async(lambda: site.has_arrived(browser_id, "VIEW", "IDENTITY"))


@pytest.mark.smoke
@everywhere
async def test_visitors_at_once_are_never_mixed(site: Site) -> None:
    """U34."""

    async def walk(number: int) -> tuple[str, set[str]]:
        async with site.visit() as browser:
            browser_id = (await browser.get("/")).text
            user = f"user_{number}"
            await browser.post(f"/login?user={user}")
            said = {(await browser.get("/who")).text for _ in range(3)}
            said |= {(await browser.get("/stream")).text}
            return browser_id, said - {f"{browser_id} {user} True", f"{browser_id};" * 3}

    walks = await asyncio.gather(*map(walk, range(20)))
    assert [wrong for _, wrong in walks if wrong] == []
    assert len({browser_id for browser_id, _ in walks}) == 20


@everywhere
async def test_a_page_with_its_assets_is_one_visitor(site: Site) -> None:
    """U42: a page, 20 assets and 5 requests of scripts, all at once and without a cookie."""
    kinds = ["image"] * 20 + ["empty"] * 5
    async with site.visit() as browser:
        answers = await asyncio.gather(
            browser.get("/"), *(browser.get("/json", headers={"sec-fetch-dest": kind}) for kind in kinds)
        )
    assert [len(cookies_of(answer)) for answer in answers] == [2] + [0] * 25


@behind_servers
@pytest.mark.parametrize(("method", "path"), PLAIN)
async def test_the_bytes_of_an_answer_are_the_same_without_passerby(site: Site, method: str, path: str) -> None:
    assert site.server is not None
    body = b"x" * 1000 if method == "POST" else b""
    ask = partial(raw_answer, site.server.port, method, path, body=body)
    bare, tracked = await asyncio.to_thread(ask, bare=True), await asyncio.to_thread(ask)
    assert tracked == bare
    assert len(bare) > 2


@behind_servers
async def test_a_client_that_leaves_in_the_middle(site: Site) -> None:
    async with site.visit() as browser, browser.stream("GET", "/forever") as response:
        assert cookies_of(response)
        async for _ in response.aiter_bytes():
            break
    async with site.visit() as browser:
        assert (await browser.get("/")).status_code == 200


@in_process
async def test_headers_and_body_are_the_same_without_passerby(face: str, collector: CollectorServer) -> None:
    tracking = make_tracking(collector.url)
    for method, path in PLAIN:
        answers: list[httpx.Response] = []
        for tracking_or_none in (None, tracking):
            async with Site(collector, lambda source=tracking_or_none: transport_to(face, source)).visit() as browser:  # type: ignore[misc]
                answers.append(await browser.request(method, path))
        bare, tracked = answers
        assert (tracked.status_code, pairs_of(tracked), tracked.content) == (
            bare.status_code,
            pairs_of(bare),
            bare.content,
        )
    tracking.close(1.0)


@in_process
@pytest.mark.parametrize(
    ("path", "headers", "told"),
    [
        ("/who", {}, ["page view who"]),
        ("/", {}, ["page view Home"]),
        ("/json", {}, []),
        ("/nothing", {}, []),
        ("/fail", {}, []),
        ("/unmodified", {}, ["page view unmodified"]),
        ("/who", {"sec-fetch-dest": "iframe"}, []),
        ("/who", {"sec-fetch-dest": "empty"}, []),
        ("/who", {"sec-fetch-dest": "", "accept": "text/html,*/*"}, ["page view who"]),
        ("/who", {"sec-fetch-dest": "", "accept": "*/*"}, []),
        ("/who", {"sec-purpose": "prefetch"}, []),
        ("/who", {"user-agent": BOTS[0]}, []),
        ("/who", {"sec-gpc": "1"}, []),
    ],
)
async def test_page_views_are_told_of_what_people_see(
    face: str,
    path: str,
    headers: dict[str, str],
    told: list[str],
    collector: CollectorServer,
    captured_events: CapturedEvents,
) -> None:
    tracking = make_tracking(collector.url, auto_page_views=True)
    async with Site(collector, lambda: transport_to(face, tracking)).visit() as browser:
        await browser.get(path, headers=headers)
    captured_events.assert_summary(*told)
    tracking.close(1.0)


@in_process
async def test_page_views_are_told_only_if_asked_for(
    face: str, collector: CollectorServer, captured_events: CapturedEvents
) -> None:
    tracking = make_tracking(collector.url)
    async with Site(collector, lambda: transport_to(face, tracking)).visit() as browser:
        assert (await browser.get("/who")).status_code == 200
    captured_events.assert_nothing()
    tracking.close(1.0)


# Each framework and each server once or more, as this takes its time.
CHOSEN = ("starlette", "flask", "fastapi-uvicorn", "django-asgi-uvicorn", "django-wsgi-gunicorn-sync")
SOME = [param for param in BEHIND_SERVERS if str(param.id).startswith(CHOSEN)]

# Whoever waits in memory when the server is asked to end is told on, where the server lets Python end in good order.
ORDERLY = [param for param in BEHIND_SERVERS if not any(name in str(param.id) for name in ("waitress", "granian"))]


@pytest.mark.smoke
@pytest.mark.parametrize("behind", ORDERLY)
async def test_a_server_that_ends_loses_nothing(behind: tuple[str, str], collector: CollectorServer) -> None:
    """U1, U5: also with workers that were forked after the app was loaded."""
    face, command = behind
    with serving(command, face=face, collector=collector.url) as server:
        async with Site(collector, httpx.AsyncHTTPTransport, server).visit() as browser:
            seen = [(await browser.get("/")).text for _ in range(20)]
        code = await asyncio.to_thread(server.end)
        assert code in (0, -15), server.log
        log = server.log
        assert "Traceback" not in log, log
    assert [event["browser_id"] for event in collector.events if event["type"] == "VIEW"] == seen, log


@pytest.mark.parametrize("behind", SOME)
async def test_a_server_that_is_killed_loses_nothing_it_has_answered(
    behind: tuple[str, str], collector: CollectorServer, tmp_path: Path
) -> None:
    """U1, T1: the service does not answer while the server lives, which is killed right after its last answer."""
    face, command = behind
    outbox = f"sqlite://{tmp_path}/outbox"
    collector.fail("events")
    with serving(command, face=face, collector=collector.url, outbox=outbox) as server:
        async with Site(collector, httpx.AsyncHTTPTransport, server).visit() as browser:
            seen = [(await browser.get("/")).text for _ in range(20)]
            await browser.get("/stream")
        assert "Traceback" not in server.log, server.log
        server.kill()

    # Of another service, since a worker that is killed is not gone at once, and might still reach the first.
    with CollectorServer(accept_any_browser_id=True) as heir:
        tracking = make_tracking(heir.url, outbox=outbox)
        expected = Counter({"VIEW": len(seen)} | ({"STREAMED": 1} if face in WSGI else {}))

        def types() -> Counter[str]:
            # In an event loop the end of a stream is not held up.
            return Counter(event["type"] for event in heir.events if face in WSGI or event["type"] == "VIEW")

        def has_all() -> bool:
            tracking.start()  # once more, for the same reason
            return types() >= expected

        with suppress(TimeoutError):
            await eventually_async(has_all, 60.0)
        assert types() == expected
        assert [event["browser_id"] for event in heir.events if event["type"] == "VIEW"] == seen
        let_go(tracking)


def test_a_bare_app_knows_nothing_of_passerby() -> None:
    """Otherwise the comparisons above would compare two of a kind."""

    async def visit() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport_to("flask", None), base_url="http://127.0.0.1") as browser:
            return await browser.get("/json", headers={BARE: "1"})

    answer = asyncio.run(visit())
    assert (answer.text, cookies_of(answer)) == (JSON, [])
