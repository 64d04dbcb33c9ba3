"""Inputs for cases, in the form of the vectors files: what apps and visitors may come up with, likely and unlikely."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..case import JSON
from .calls import (
    event_args,
    handle_cookie,
    identity_args,
    personalize_args,
    queue_calls,
    tracking_calls,
    view_args,
)
from .requests import BROWSER_ID, COOKIE, NEW_ID, OTHER_ID, headers, requests
from .settings import any_settings, cookie_settings, shop

CREATED = [{"status": 200, "body": {"status": "OK", "ref": NEW_ID, "customer_ref": OTHER_ID}}]


OK = {"status": 201, "body": {"status": "OK", "ref": NEW_ID}}
event_answers: st.SearchStrategy[list[JSON]] = st.sampled_from(
    [
        *[[OK]] * 4,
        [{"status": 503, "raw": "busy"}, OK],
        [{"status": 429, "body": {}}, OK],
        [{"status": 408, "raw": ""}, OK],
        [OK, {"reset": True}, OK],
        [OK, {"status": 500, "body": {"a": 1}}],
        [{"status": 400, "body": {"status": 400}}, OK],
        [{"status": 404, "raw": ""}],
        [{"status": 302, "headers": {"location": "{MOCK}/moved"}, "raw": ""}, OK],
        [{"status": 204}],
        [{"status": 200, "raw": "{"}],
        [{"status": 200, "raw": "[1]"}],
    ]
)
create_answers: st.SearchStrategy[list[JSON]] = st.sampled_from(
    [
        *[CREATED] * 8,
        [{"status": 500, "raw": "<h1>"}],
        [{"status": 401, "body": {"ref": NEW_ID}}],
        [{"status": 200, "body": {"ref": "abc"}}],
        [{"status": 200, "body": {"ref": 5}}],
        [{"status": 200, "body": {}}],
        [{"status": 200, "raw": "null"}],
    ]
)
flow_answers: st.SearchStrategy[list[JSON]] = st.sampled_from(
    [
        *[[{"status": 200, "body": {"variant": "B"}}]] * 4,
        [{"status": 200, "body": {}}],
        [{"status": 200, "raw": "null"}],
        [{"status": 204}],
        [{"status": 400, "body": {"code": 1}}],
        [{"status": 500, "raw": "<h1>"}],
        [{"reset": True}],
    ]
)
servers = st.fixed_dictionaries({"create": create_answers, "events": event_answers, "callflows": flow_answers})
# On a connection kept from an earlier call a reset looks like its end, and the call is made once more: not compared.
later_servers = st.fixed_dictionaries(
    {
        "create": create_answers,
        "events": event_answers,
        "callflows": flow_answers.filter(lambda answers: "reset" not in answers[0]),
    }
)


def case(call: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    fixed = {"id": st.just(f"live/{call}"), "call": st.just(call), "server": st.just({"create": CREATED})}
    return st.fixed_dictionaries(fixed | parts)


init_cases = case("initServer", settings=any_settings)
cookie_cases = case(
    "handleCookie",
    settings=st.builds(lambda chosen: {"forceServerCookieMode": True} | chosen, cookie_settings),
    request=st.fixed_dictionaries({"url": st.sampled_from(["/", "/static/app.css", "/a?b"]), "headers": headers}),
    response=st.sampled_from([{}, {"set_cookie": ["session=s1; Path=/; HttpOnly", "lang=en; Path=/"]}]),
)
view_cases = case("pageView", settings=shop, request=requests, args=view_args)
identity_cases = case("identity", settings=shop, request=requests, args=identity_args)
event_cases = case("event", settings=shop, request=requests, args=event_args)
personalize_cases = case("personalize", settings=shop, request=requests, args=personalize_args, server=servers)
sequence_cases = case(
    "sequence",
    server=later_servers,
    settings=st.builds(lambda chosen: {"forceServerCookieMode": True} | chosen, shop),
    request=requests,
    args=st.builds(
        lambda first, rest: {"steps": [*first, *rest]},
        st.lists(handle_cookie, max_size=1),
        st.lists(tracking_calls, max_size=4),
    ),
)
page_cases = case(
    "browser",
    settings=shop,
    request=st.fixed_dictionaries(
        {
            "url": st.sampled_from(
                ["https://shop.example/", "https://shop.example/a/b", "https://shop.example/p?utm_source=x&variantid=v"]
            ),
            "lang": st.sampled_from(["", "en", "en-GB", "zh-Hant-TW", "DE"]),
        },
        optional={"cookie": st.just(f"{COOKIE}={BROWSER_ID}")},
    ),
    args=st.builds(lambda steps: {"steps": steps}, st.lists(queue_calls, max_size=6)),
)
