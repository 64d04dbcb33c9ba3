"""The functions of Sitecore's Cloud SDK and Content SDK: names, argument shapes and error codes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.utils.functional import SimpleLazyObject

from passerby import (
    BrowserIdUnavailable,
    EdgeSDK,
    RemoteTimeout,
    SettingsError,
    ValidationError,
    init_cloud_sdk,
    init_content_sdk,
    init_server,
)
from passerby.collector import CollectorServer
from passerby.collector.faults import ScriptedResponse
from tests.making import BROWSER_ID, KEY, NAVIGATION, PATIENCE, by_name, cookie_header, let_go, make_environ, make_scope

MakeSDK = Callable[..., EdgeSDK]
ASKED = {"channel": "WEB", "friendly_id": "exp"}


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A stand-in for the edge that takes events of browsers whose ID it has not issued."""
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture
def make_sdk(collector: CollectorServer) -> Iterator[MakeSDK]:
    made: list[EdgeSDK] = []

    def make(dialect: str = "content", **options: Any) -> EdgeSDK:
        usual: dict[str, Any] = {"secret_key": KEY, "site_name": "shop", "browser_id_timeout": PATIENCE}
        if dialect == "cloud":
            own = {"sitecore_edge_context_id": "ctx1", "sitecore_edge_url": collector.url, "enable_server_cookie": True}
            made.append(init_cloud_sdk(**(usual | own | options)))
        else:
            own = {"context_id": "ctx1", "edge_url": collector.url, "enable_cookie": True}
            made.append(init_content_sdk(**(usual | own | options)))
        return made[-1]

    yield make
    for sdk in made:
        let_go(sdk.tracking)


def visitor() -> dict[str, Any]:
    return make_scope("/p?utm_source=x", NAVIGATION | cookie_header(sc_cid=BROWSER_ID))


@pytest.fixture
def dead_url() -> Iterator[str]:
    """A URL at which no server listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("dialect", ["cloud", "content"])
class TestFunctions:
    def test_each_takes_the_request_and_one_mapping(
        self, make_sdk: MakeSDK, collector: CollectorServer, dialect: str
    ) -> None:
        sdk, request = make_sdk(dialect, infer_from_request=False), visitor()
        sdk.page_view(request, {"channel": "WEB", "extensionData": {"a": {"b": 1}}, "includeUTMParameters": False})
        sdk.page_view(request)
        sdk.identity(
            request,
            {"identifiers": [{"id": "1", "provider": "CRM"}], "firstName": "Ada", "extension_data": {"tier": "gold"}},
        )
        sdk.event(request, {"type": "ADD", "total": 5, "extension_data": {"a": 1}, "searchData": {"q": "bag"}})
        sdk.form(request, "f1", "viewed", "c1")
        sdk.bot_page_view(request, {"userAgent": "x", "page": "p", "language": "en"})
        assert sdk.tracking.flush(PATIENCE) == 0
        (bot,) = (one for one in collector.events if one.get("channel") == "bot")
        first, second, identity, event, form = (one for one in collector.events if one != bot)
        assert (first["ext"], "utm_source" in first, second["utm_source"]) == ({"a_b": 1}, False, "x")
        assert (identity["firstname"], identity["ext"]) == ("Ada", {"tier": "gold"})
        assert (event["type"], event["total"], event["ext"]) == ("ADD", 5, {"a": 1})
        assert event["sc_search"]["data"] == {"q": "bag"}
        assert form["ext"] == {"formId": "f1", "interactionType": "VIEWED", "componentInstanceId": "c1"}
        assert {one["browser_id"] for one in (first, second, identity, event, form)} == {BROWSER_ID}
        assert (bot["channel"], bot["browser_id"]) == ("bot", "2d711642-b726-b044-0162-7ca9fbac32f5")
        assert bot["ext"] == {"sourceUserAgent": "x"}

    async def test_the_cookie(self, make_sdk: MakeSDK, dialect: str) -> None:
        sdk = make_sdk(dialect, enable_personalize_cookie=True)
        headers: list[tuple[bytes, bytes]] = [(b"set-cookie", b"session=abc")]
        await sdk.initialize(make_scope("/", NAVIGATION), headers)
        lines = by_name(value.decode() for name, value in headers if name == b"set-cookie")
        assert list(lines) == ["session", "sc_cid", "sc_cid_sig", "sc_cid_personalize"]
        again: list[tuple[str, str]] = []
        sdk.initialize_sync(make_environ("/", NAVIGATION), again)
        assert [name for name, _ in again].count("set-cookie") + [name for name, _ in again].count("Set-Cookie") == 3

    async def test_without_the_cookie_switched_on_none_is_set(self, make_sdk: MakeSDK, dialect: str) -> None:
        sdk = make_sdk(dialect, **{"enable_server_cookie" if dialect == "cloud" else "enable_cookie": False})
        headers: list[tuple[bytes, bytes]] = []
        await sdk.initialize(make_scope("/", NAVIGATION), headers)
        assert headers == []

    async def test_questions(self, make_sdk: MakeSDK, collector: CollectorServer, dialect: str) -> None:
        collector.script("personalize", [ScriptedResponse(status=200, body={"variantId": "b"})])
        sdk = make_sdk(dialect)
        assert await sdk.personalize(visitor(), ASKED, PATIENCE) == {"variantId": "b"}
        assert sdk.personalize_sync(visitor(), ASKED, PATIENCE) == {"variantId": "b"}
        assert await sdk.guest_id(visitor(), PATIENCE) == sdk.guest_id_sync(visitor(), PATIENCE)

    @pytest.mark.parametrize("data", [[1], "text", 5, object()])
    def test_data_that_is_no_mapping_is_refused(self, make_sdk: MakeSDK, dialect: str, data: Any) -> None:
        sdk = make_sdk(dialect)
        for function in (sdk.page_view, sdk.identity, sdk.event):
            with pytest.raises(ValidationError):
                function(visitor(), data)

    def test_data_that_cannot_be_read_is_refused(self, make_sdk: MakeSDK, dialect: str) -> None:
        sdk, data = make_sdk(dialect), cast("Any", SimpleLazyObject(lambda: 1 / 0))
        for function in (sdk.page_view, sdk.identity, sdk.event, sdk.bot_page_view):
            with pytest.raises(ValidationError):
                function(visitor(), data)

    @pytest.mark.parametrize("data", [5, {"user_agent": 5}, {"user_agent": object()}, {"user_agent": "x" * 40_000}])
    def test_a_bot_has_a_user_agent_of_text(self, make_sdk: MakeSDK, dialect: str, data: Any) -> None:
        with pytest.raises(ValidationError):
            make_sdk(dialect).bot_page_view(visitor(), data)

    def test_a_bot_without_a_user_agent_and_one_that_is_no_utf8(
        self, make_sdk: MakeSDK, collector: CollectorServer, dialect: str
    ) -> None:
        sdk = make_sdk(dialect)
        for data in ({}, {"user_agent": None}, {"user_agent": ""}, {"user_agent": "\ud800"}):
            sdk.bot_page_view(visitor(), data)
        assert sdk.tracking.flush(PATIENCE) == 0
        assert len({event["browser_id"] for event in collector.events}) == 2

    def test_an_event_without_a_type_is_refused(self, make_sdk: MakeSDK, dialect: str) -> None:
        with pytest.raises(ValidationError, match="event type: found none"):
            make_sdk(dialect).event(visitor(), {"total": 5})

    def test_the_caller_keeps_his_data(self, make_sdk: MakeSDK, dialect: str) -> None:
        data = {"type": "ADD", "extension_data": {"a": 1}}
        make_sdk(dialect).event(visitor(), data)
        assert data == {"type": "ADD", "extension_data": {"a": 1}}

    @pytest.mark.parametrize("wrong", [("", "viewed"), ("f1", " "), (None, "viewed"), ("f1", 5)])
    def test_forms_are_named(self, make_sdk: MakeSDK, dialect: str, wrong: tuple[Any, Any]) -> None:
        with pytest.raises(
            ValidationError, match=r"form: (form_id|interaction) is (empty text|NoneType|int), expected"
        ):
            make_sdk(dialect).form(visitor(), *wrong)


class TestCodes:
    @pytest.mark.parametrize(
        ("make", "wrong", "message"),
        [
            (init_cloud_sdk, {"sitecore_edge_context_id": None}, '[MV-0001] "sitecoreEdgeContextId" is required.'),
            (init_cloud_sdk, {"site_name": ""}, '[MV-0002] "siteName" is required.'),
            (init_cloud_sdk, {"sitecore_edge_url": None}, '[IV-0001] Incorrect value for "sitecoreEdgeUrl".'),
            (init_content_sdk, {"context_id": ""}, '[MV-001] "contextId" is required.'),
            (init_content_sdk, {"site_name": None}, '[MV-002] "siteName" is required.'),
            (init_content_sdk, {"edge_url": "x"}, '[IV-001] Incorrect value for "edgeUrl".'),
        ],
    )
    def test_settings(self, make: Any, wrong: dict[str, Any], message: str) -> None:
        key = "sitecore_edge_context_id" if make is init_cloud_sdk else "context_id"
        with pytest.raises(SettingsError) as raised:
            make(**{key: "ctx1", "site_name": "shop"} | wrong)
        assert str(raised.value).startswith(message)

    @pytest.mark.parametrize(("dialect", "code"), [("cloud", "IV-0006"), ("content", "IV-002")])
    async def test_a_wrong_timeout(self, make_sdk: MakeSDK, dialect: str, code: str) -> None:
        expected = (
            rf'\[{code}\] Incorrect value for "timeout"\. Set the value to an integer greater than or equal to 0\.'
        )
        sdk = make_sdk(dialect, timeout=-1)
        with pytest.raises(ValidationError, match=expected):
            await sdk.initialize(make_scope("/", NAVIGATION), [])
        with pytest.raises(ValidationError, match=expected):
            await sdk.personalize(visitor(), ASKED, -1)

    @pytest.mark.passerby_live
    @pytest.mark.parametrize(
        ("dialect", "code", "cookie"),
        [("cloud", "IE-0003", "sc_{SitecoreEdgeContextId}"), ("content", "IE-005", "sc_cid")],
    )
    async def test_no_browser_id(self, make_sdk: MakeSDK, dead_url: str, dialect: str, code: str, cookie: str) -> None:
        setting = "sitecore_edge_url" if dialect == "cloud" else "edge_url"
        sdk = make_sdk(dialect, **{setting: dead_url})
        with pytest.raises(BrowserIdUnavailable) as raised:
            await sdk.initialize(make_scope("/", NAVIGATION), [])
        assert str(raised.value).startswith(f'[{code}] Unable to set the "{cookie}" cookie because the ')

    @pytest.mark.parametrize(("dialect", "code"), [("cloud", "IE-0002"), ("content", "IE-003")])
    async def test_too_late(self, make_sdk: MakeSDK, collector: CollectorServer, dialect: str, code: str) -> None:
        late = ScriptedResponse(status=200, delay=PATIENCE)
        collector.script("create", [late] * 20)
        collector.script("personalize", [late])
        sdk = make_sdk(dialect, timeout=0)
        with pytest.raises(RemoteTimeout, match=code):
            await sdk.initialize(make_scope("/", NAVIGATION), [])
        with pytest.raises(RemoteTimeout, match=code):
            sdk.personalize_sync(visitor(), ASKED, 0.05)
        collector.clear_faults()


def test_the_engage_sdk_takes_visitors_over(collector: CollectorServer) -> None:
    tracking = init_server(
        client_key="key",
        target_url=collector.url,
        point_of_sale="shop",
        adopt_edge_cookie="ctx1",
        secret_key=KEY,
        force_server_cookie_mode=True,
    )
    assert tracking.tracker_for(visitor()).browser_id == BROWSER_ID
    let_go(tracking)


@pytest.mark.parametrize(
    ("make", "own"),
    [
        (init_cloud_sdk, {"sitecore_edge_context_id": "ctx1", "site_name": "shop"}),
        (init_content_sdk, {"context_id": "ctx1", "site_name": "shop"}),
        (init_server, {"client_key": "key", "target_url": "https://api.example.com"}),
    ],
)
def test_one_thing_is_not_set_twice(make: Any, own: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="set_cookie: found it beside the SDK's own setting"):
        make(**own, set_cookie=True)


def test_visitors_are_taken_over_only_where_the_server_sets_the_cookie() -> None:
    with pytest.raises(SettingsError, match="set_cookie: found False beside the cookie of another Sitecore form"):
        init_content_sdk(context_id="ctx1", site_name="shop", adopt_engage_cookie="key", secret_key=KEY)
