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
personalize_cases = case("personalize", settings=shop, request=requests, args=personalize_args)
sequence_cases = case(
    "sequence",
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
