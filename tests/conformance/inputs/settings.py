"""Settings, right and wrong."""

from __future__ import annotations

from hypothesis import strategies as st

from .values import UNDEFINED, members

REQUIRED = {"clientKey": "ck_demo_0001", "targetURL": "{MOCK}"}
settings = st.fixed_dictionaries(
    {name: st.just(value) for name, value in REQUIRED.items()},
    optional={
        "pointOfSale": st.just("shop.example") | st.sampled_from(["", None, UNDEFINED]),
        "includeUTMParameters": st.sampled_from([True, False, None, UNDEFINED, 0, 1, ""]),
    },
)
shop = st.builds(lambda chosen: {"pointOfSale": "shop.example"} | chosen, settings)
cookie_settings = st.fixed_dictionaries(
    {
        "clientKey": st.just("ck_demo_0001"),
        "targetURL": st.sampled_from(["{MOCK}", "{MOCK}", "{MOCK}/", "{MOCK}/edge", "{MOCK}/edge/"]),
        "pointOfSale": st.just("shop.example"),
    },
    optional={
        "forceServerCookieMode": st.sampled_from([True, True, True, True, False, 1, None]),
        "cookieExpiryDays": st.sampled_from([0, 1, 0.5, 30, 400, 401, 730, 100_000, "30", None, UNDEFINED, 1 / 3]),
        "cookieDomain": st.sampled_from(["shop.example", ".shop.example", "", None, "a.b.c.example", "Shop.Example"]),
        "cookiePath": st.sampled_from(["/", "/app", "", None]),
    },
)
targets = st.sampled_from(
    [
        "{MOCK}", "", None, UNDEFINED, "not a url", "www.example.com/api", "http://exa mple.com", "https://", "http://x:99999",
        "mailto:x@y.example", "ftp://x.example", "https://api.example", "https://api.example/", "https://api.example/a?b=c",
        "https://api.example/#a", "https://user@api.example", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080",
        "http://api.example", "HTTPS://API.EXAMPLE", "//api.example", "/api", "localhost:8080", " https://api.example ",
        "https://[::1", "https://a%20b", "https://10.1.2.3", "https://api.example:443/x", 5,
    ]
)  # fmt: skip
any_settings = members(
    clientKey=st.sampled_from(
        ["ck_demo_0001", "", None, UNDEFINED, "   ", "a b", "a;b", "a=b", "\u00e9", "a.b-c_d", "x" * 200, "a\n"]
    ),
    targetURL=targets,
    pointOfSale=st.sampled_from(["shop.example", "", " ", "\t", None, UNDEFINED, 5, 0, "\u00a0"]),
    cookieDomain=st.sampled_from(["shop.example", "a b", "x; HttpOnly", "", None]),
    cookieExpiryDays=st.sampled_from([0, 1, None, -1, {"$js": "NaN"}]),
    cookiePath=st.sampled_from(["/", "/a b", "a", "/;x", "", None]),
)
