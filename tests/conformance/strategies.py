"""Inputs for cases, in the form of the vectors files: what apps and visitors may come up with, likely and unlikely."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from .case import JSON

BROWSER_ID = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
OTHER_ID = "A38B230C-11EB-4CF9-8D5D-274E9F344925"
NEW_ID = "54ead7cc-5726-427d-a89e-756498f390a9"
COOKIE = "bid_ck_demo_0001"
CREATED = [{"status": 200, "body": {"status": "OK", "ref": NEW_ID, "customer_ref": OTHER_ID}}]
UNDEFINED = {"$js": "undefined"}

ODD_TEXTS = [
    "",
    " ",
    "\u00e9",
    "\u8cb7\u7269",
    "\U0001f6d2",
    "a_b",
    "x" * 300,
    "\u2028",
    "\0",
    "<b>",
    "\ufeff",
    "\ud83d",
    "0",
    "null",
]
texts = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
words = st.sampled_from(
    ["a", "b", "a_b", "items", "x1", "1", "10", "", "\u043a\u043b\u044e\u0447", "pageVariantId", "type", "ext"]
)
# JavaScript takes __proto__ for something else than a key.
names = words | st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
    lambda name: name not in ("__proto__", "$js")
)
dates = st.sampled_from(["1970-01-01T00:00:00.000Z", "2024-05-06T07:08:09.120Z"]).map(
    lambda text: {"$js": "Date", "value": text}
)
numbers = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from([0, -0.0, 1.0, 1e21, 1e-7, 0.1, {"$js": "NaN"}, {"$js": "Infinity"}, {"$js": "-Infinity"}])
)
scalars = st.none() | st.booleans() | numbers | texts | dates
values = st.recursive(
    scalars | st.just(UNDEFINED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
mappings = st.dictionaries(names, values, max_size=6)


def members(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    """A mapping with any of these members."""
    return st.fixed_dictionaries({}, optional=optional)


@st.composite
def joined(draw: st.DrawFn, one: st.SearchStrategy[JSON], other: st.SearchStrategy[JSON]) -> JSON:
    """Members of both; nobody writes the same name in snake_case and in camelCase."""
    both = draw(other) | draw(one)
    return {name: value for name, value in both.items() if "_" not in name or camel(name) not in both}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@st.composite
def many_attributes(draw: st.DrawFn) -> JSON:
    """Extension data near the limit of 50."""
    number = draw(st.integers(48, 52))
    flat: JSON = {f"k{index}": index for index in range(number)}
    nested: JSON = {f"g{index // 10}": {} for index in range(number)}
    for index in range(number):
        nested[f"g{index // 10}"][f"k{index}"] = index
    extra = draw(st.sampled_from([{}, {"n": None}, {"l": [1, 2]}, {"pageVariantId": "v"}, {"pageVariantId": ""}]))
    return (nested if draw(st.booleans()) else flat) | extra


extensions = st.just(UNDEFINED) | st.none() | mappings | mappings | many_attributes()

points_of_sale = st.sampled_from(["eu.example", "", " ", " x ", None, UNDEFINED, "\u00e9", 5, 0])
common = members(
    channel=st.sampled_from(["WEB", "", None, 5]),
    currency=st.sampled_from(["EUR", None]),
    language=st.sampled_from(["EN", "", None, UNDEFINED, "de"]),
    page=st.sampled_from(["home", "", None, UNDEFINED, 0, "caf\u00e9"]),
    pointOfSale=points_of_sale,
)

# Requests

query_names = st.sampled_from(
    [
        "utm_source",
        "utm_medium",
        "UTM_Campaign",
        "utm_",
        "utm_\u00e4",
        "Utm_\u0130d",
        "variantid",
        "variantId",
        "q",
        "gclid",
        "",
        "xutm_a",
    ]
)
# Not "%E9" escaped once more: Node.js then garbles what else is in the text, which says nothing of the SDK.
query_values = texts | st.sampled_from(["a&b=c", "a+b", "100%", "%41", "a;b", "a#b", "%", "%2", "%zz", "=", "\u20ac"])


@st.composite
def query_pieces(draw: st.DrawFn) -> str:
    """One parameter: escaped not at all, once, twice or badly."""

    def written(text: str) -> str:
        text = text.encode("utf-8", "replace").decode()
        how = draw(st.sampled_from(["once", "once", "twice", "lower", "raw", "plus"]))
        raw = "".join(char for char in text if char.isprintable() and char not in ' #&"')
        return {
            "once": quote(text, safe=""),
            "twice": quote(quote(text, safe=""), safe=""),
            "lower": quote(text, safe="/:@").lower(),
            "raw": raw,
            "plus": quote(text, safe=" ").replace(" ", "+"),
        }[how]

    name = written(draw(query_names))
    return name if draw(st.integers(0, 9)) == 0 else f"{name}={written(draw(query_values))}"


@st.composite
def urls(draw: st.DrawFn) -> str:
    path = draw(st.sampled_from(["/", "/a/b", "/caf%C3%A9", "/%E9", "https://other.example/p", "/products/shoes"]))
    pieces = draw(
        st.lists(
            st.one_of(*[query_pieces()] * 9, st.sampled_from(["q=%E9", "utm_source=100%", "utm_term=%C3%28&a"])),
            max_size=4,
        )
    )
    query = draw(st.sampled_from(["&", "&", "&&", ";"])).join(pieces)
    return f"{path}?{query}" if pieces or draw(st.booleans()) else path


cookie_values = st.sampled_from(
    [
        BROWSER_ID,
        BROWSER_ID,
        BROWSER_ID,
        OTHER_ID,
        "",
        "abc",
        "abc=def",
        f'"{BROWSER_ID}"',
        f"{BROWSER_ID}x",
        BROWSER_ID[:-1],
        "<b>",
        "\u00e9",
    ]
)
other_cookies = st.sampled_from(
    [
        "a=1",
        "theme=dark",
        "a",
        "",
        "=x",
        f"{COOKIE}x=1",
        f"x{COOKIE}={OTHER_ID}",
        f"{COOKIE.upper()}={OTHER_ID}",
        COOKIE,
    ]
)


@st.composite
def cookie_headers(draw: st.DrawFn) -> str:
    own = [f"{COOKIE}={value}" for value in draw(st.lists(cookie_values, max_size=2))]
    pieces = draw(st.permutations(own + draw(st.lists(other_cookies, max_size=2))))
    separator = draw(st.sampled_from(["; ", "; ", "; ", ";", " ;", ";  "]))
    around = draw(st.sampled_from(["", "", "", " ", ";"]))
    return separator.join(pieces) + around if draw(st.booleans()) else around.strip(";") + separator.join(pieces)


headers = (
    st.just({"cookie": f"{COOKIE}={BROWSER_ID}"})
    | st.just({})
    | st.builds(lambda header: {"cookie": header}, cookie_headers())
)
known_visitor = st.just({"cookie": f"{COOKIE}={BROWSER_ID}"})
requests = st.fixed_dictionaries({"url": urls(), "headers": st.one_of(known_visitor, known_visitor, headers)})

# Settings

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

# Calls

known_views = joined(
    common,
    members(
        referrer=st.sampled_from(["https://ref.example/?q=1", "", None, 5]),
        pageVariantId=st.sampled_from(["v", "", None, 0, 7]),
        page_variant_id=st.sampled_from(["w", None]),
        point_of_sale=st.sampled_from(["de.example", None]),
        sku=values,
    ),
)
view_data = st.one_of(*[known_views] * 9, st.sampled_from([None, UNDEFINED, {}, [], "xy", 5]))
view_args = st.fixed_dictionaries({"eventData": view_data}, optional={"extensionData": extensions})

BLANKS = [
    chr(code)
    for code in (0x20, 0x09, 0x0A, 0x0D, 0x1C, 0x1F, 0x85, 0xA0, 0x1680, 0x180E, 0x2003, 0x200B, 0x2028, 0x3000, 0xFEFF)
]
emails = st.builds("".join, st.lists(st.sampled_from(["a", "@", ".", "\u00e9", "+", *BLANKS]), max_size=7)) | st.builds(
    lambda place, blank: "a@b.de"[:place] + blank + "a@b.de"[place:],
    st.integers(0, 6),
    st.sampled_from(["", "", "@", ".", *BLANKS]),
)
minutes = st.builds(
    lambda year, month, day, hour, minute, form: form.format(year, month, day, hour, minute),
    st.sampled_from([0, 1, 4, 99, 100, 1900, 1999, 2000, 2023, 2024, 9999, 10_000]),
    st.sampled_from([0, 1, 2, 2, 2, 4, 12, 13]),
    st.sampled_from([0, 1, 28, 29, 30, 31, 32]),
    st.sampled_from([0, 12, 23, 24]),
    st.sampled_from([0, 59, 60]),
    st.sampled_from(
        [
            *["{:04}-{:02}-{:02}T{:02}:{:02}"] * 8, "{:04}-{:02}-{:02}", "{:04}-{:02}-{:02} {:02}:{:02}", "{}-{}-{}T{}:{}",
            "{:04}-{:02}-{:02}T{:02}:{:02}Z", "{:04}-{:02}-{:02}T{:02}:{:02}:00", "{:04}-{:02}-{:02}T{:02}:{:02}\n",
        ]
    ),
)  # fmt: skip
moments = (
    minutes
    | minutes
    | dates
    | st.sampled_from(["", None, 0, UNDEFINED, [], {}, "\uff12000-01-01T00:00", "2000-01-01T0\u0660:00"])
)
identifiers = st.lists(
    joined(
        members(
            id=st.sampled_from(["123456", "", 5, None]),
            provider=st.sampled_from(["BXLP", "BXLP", "CRM", None]),
            expiryDate=moments,
            note=scalars,
        ),
        members(expiry_date=minutes),
    ),
    min_size=1,
    max_size=2,
)
persons = joined(
    common,
    st.fixed_dictionaries(
        {
            "identifiers": st.one_of(
                *[identifiers] * 6, st.sampled_from([[], None, UNDEFINED, "", "abc", {}, 5, [None], ["x"]])
            )
        },
        optional={
            "email": emails | st.sampled_from([None, "", UNDEFINED, 0, [], {}]),
            "dob": moments,
            "firstName": texts,
            "first_name": texts,
            "lastName": scalars,
            "firstname": texts,
            "city": scalars,
            "postalCode": texts,
            "postal_code": texts,
            "street": st.lists(texts, max_size=2) | texts,
            "gender": texts,
            "title": st.none(),
            "company": values,
            "ext": mappings,
        },
    ),
)
identity_args = st.fixed_dictionaries(
    {"eventData": st.one_of(*[persons] * 9, st.sampled_from([None, UNDEFINED, {}]))},
    optional={"extensionData": extensions},
)

event_data = st.one_of(
    *[joined(common, mappings)] * 6,
    joined(
        common,
        members(
            browser_id=texts, client_key=scalars, pos=scalars, type=scalars, ext=scalars | mappings, point_of_sale=texts
        ),
    ),
    st.sampled_from([None, UNDEFINED, {}]),
)
event_types = st.one_of(
    *[st.sampled_from(["CUSTOM", "ADD", "caf\u00e9"])] * 9, st.sampled_from(["", " ", None, 5, UNDEFINED])
)
event_args = st.fixed_dictionaries(
    {"type": event_types, "eventData": event_data}, optional={"extensionData": extensions}
)

personalize_data = st.fixed_dictionaries(
    {"friendlyId": st.one_of(*[st.just("exp_1")] * 6, st.sampled_from(["", " ", None, UNDEFINED]))},
    optional={
        "channel": st.sampled_from(["WEB", None]),
        "currency": st.sampled_from(["EUR", None]),
        "language": st.sampled_from(["EN", "", None]),
        "pointOfSale": st.sampled_from(["eu.example", "eu.example", "", " ", None]),
        "email": st.sampled_from(["a@b.de", "", "  ", None, "not one"]),
        "identifier": st.sampled_from(
            [{"id": "1", "provider": "P", "x": [1]}, {"id": " ", "provider": "P"}, {"provider": "P"}, None]
        ),
        "params": st.none() | mappings,
        "page": texts,
        "browserId": texts,
    },
)
personalize_args = st.fixed_dictionaries(
    {"personalizeData": st.one_of(*[personalize_data] * 9, st.sampled_from([None, {"friendly_id": "exp_2"}]))},
    optional={"timeout": st.just(4000)},
)


def call(name: str, args: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries({"call": st.just(name), "args": args})


handle_cookie = call(
    "handleCookie", st.sampled_from([{}, {}, {"timeout": 4000}, {"timeout": None}, {"timeout": -1}, {"timeout": "x"}])
)
tracking_calls = st.one_of(
    call("pageView", view_args),
    call("identity", identity_args),
    call("event", event_args),
    call("personalize", personalize_args),
)
queue_calls = st.one_of(
    *[call("addToEventQueue", event_args)] * 3,
    st.just({"call": "processEventQueue"}),
    st.just({"call": "clearEventQueue"}),
    call(
        "updatePointOfSale",
        st.sampled_from([{"pointOfSale": "new.example"}, {"pointOfSale": " "}, {"pointOfSale": ""}]),
    ),
    st.just({"call": "getBrowserId"}),
    tracking_calls,
)

# Cases


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
