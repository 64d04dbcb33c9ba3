"""Inputs for cases, in the form of the vectors file: what apps and visitors may come up with, likely and unlikely."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..case import JSON
from ..inputs import CREATED, event_answers
from ..inputs.calls import emails, identifiers, moments
from ..inputs.requests import BROWSER_ID, NEW_ID, OTHER_ID, urls
from ..inputs.settings import targets
from ..inputs.values import UNDEFINED, extensions, joined, mappings, members, scalars, texts, values

CONTEXT = "ctx5Demo0001"
GUEST_ID = "0b5a3f0e-6f0c-4c52-9a47-5d6f2d1b8e11"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SDKS = st.sampled_from(["cloud", "content"])

# Data of calls.

common = members(
    channel=st.sampled_from(["WEB", "", None, 5]),
    currency=st.sampled_from(["EUR", None]),
    language=st.sampled_from(["EN", "", None, UNDEFINED, "de"]),
    page=st.sampled_from(["home", "", None, UNDEFINED, 0, "caf\u00e9"]),
    extensionData=extensions,
)
search = members(searchData=st.sampled_from([None, {}, {"a": {"b": [1, None]}}, {"value": {"rfk_id": "w1"}}]))
views = joined(
    joined(common, search),
    members(
        referrer=st.sampled_from(["https://ref.example/?q=1", "", None]),
        pageVariantId=st.sampled_from(["v", "", None]),
        page_variant_id=st.sampled_from(["w", None]),
        includeUTMParameters=st.sampled_from([True, False, None, UNDEFINED, 0, 1]),
        sku=values,
    ),
)
persons = joined(
    common,
    st.fixed_dictionaries(
        {"identifiers": st.one_of(*[identifiers] * 6, st.sampled_from([[], None, UNDEFINED, {}, [None]]))},
        optional={
            "email": emails | st.sampled_from(["a@b.de", "a@b.c", f"{'x' * 310}@e.example", None, "", UNDEFINED]),
            "dob": moments | st.sampled_from(["2000-02-29", "2001-02-29", "1985-02-28", "0000-01-01", "2000-2-1"]),
            "firstName": texts,
            "first_name": texts,
            "lastName": scalars,
            "city": scalars,
            "postalCode": texts,
            "street": st.lists(texts, max_size=2) | texts,
            "title": st.none(),
            "company": values,
        },
    ),
)
events = joined(
    joined(common, search),
    joined(
        mappings,
        members(
            type=st.one_of(*[st.sampled_from(["CUSTOM", "ADD", "caf\u00e9"])] * 9, st.sampled_from(["", " ", None, 5])),
            ext=scalars | mappings,
            sc_search=mappings,
            browser_id=texts,
        ),
    ),
)
personalizations = st.fixed_dictionaries(
    {"friendlyId": st.one_of(*[st.just("exp_1")] * 6, st.sampled_from(["", " ", None, UNDEFINED]))},
    optional={
        "channel": st.sampled_from(["WEB", None]),
        "currency": st.sampled_from(["EUR", None]),
        "language": st.sampled_from(["EN", "", None]),
        "email": st.sampled_from(["a@b.de", "", "  ", None, "not one"]),
        "identifier": st.sampled_from([{"id": "1", "provider": "P", "x": [1]}, {"id": " ", "provider": "P"}, None]),
        "params": st.none() | mappings | st.sampled_from([{"utm": {"a": 1}}, {"utm": ""}, {}]),
        "geo": st.sampled_from([{}, {"city": "Lyon", "country": "FR"}, None]),
        "pageVariantIds": st.sampled_from([[], ["a", "b"], None]),
        "page": texts,
    },
)
forms = members(
    formId=st.sampled_from(["f1", "", "caf\u00e9"]),
    interactionType=st.sampled_from(["VIEWED", "SUBMITTED", "submitted", "clicked"]),
    componentInstanceId=st.sampled_from(["c1", None, ""]),
)


def call(name: str, args: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries({"call": st.just(name), "args": args})


def data_of(strategy: st.SearchStrategy[Any], *odd: Any) -> st.SearchStrategy[JSON]:
    return st.fixed_dictionaries({"data": st.one_of(*[strategy] * 9, st.sampled_from([{}, *odd]))})


view_calls = call("pageView", st.one_of(*[data_of(views, None, UNDEFINED)] * 9, st.just({})))
identity_calls = call("identity", data_of(persons))
event_calls = call("event", data_of(events, None))
personalize_calls = call(
    "personalize",
    st.builds(
        lambda one, other: one | other,
        data_of(personalizations),
        st.sampled_from([{}, {}, {"opts": {}}, {"opts": {"timeout": 4000}}]),
    ),
)
form_calls = call("form", forms)
bot_calls = call(
    "botPageView",
    data_of(
        st.fixed_dictionaries(
            {"userAgent": st.sampled_from([GOOGLEBOT, "GPTBot/1.2", "x", "caf\u00e9"])},
            optional={
                "page": st.sampled_from(["home", "", None]),
                "language": st.sampled_from(["en", None]),
                "channel": texts,
            },
        )
    ).filter(lambda args: bool(args["data"])),
)

# Requests.

values_of_cookies = st.sampled_from(
    [BROWSER_ID, BROWSER_ID, BROWSER_ID, OTHER_ID, "", "abc", "abc=def", f'"{BROWSER_ID}"', f"{BROWSER_ID}x", "<b>"]
)
names_of_cookies = st.sampled_from(
    [
        "sc_cid",
        "sc_cid",
        "sc_cid",
        f"sc_{CONTEXT}",
        "sc_cid_personalize",
        f"sc_{CONTEXT}_personalize",
        "a",
        "xsc_cid",
        "SC_CID",
    ]
)


@st.composite
def cookie_headers(draw: st.DrawFn) -> str:
    pairs = draw(st.lists(st.tuples(names_of_cookies, values_of_cookies), max_size=4))
    separator = draw(st.sampled_from(["; ", "; ", "; ", "; ", ";", " ;", ";  "]))
    around = draw(st.sampled_from(["", "", "", "", " ", ";"]))
    return separator.join(f"{name}={value}" for name, value in pairs) + around


cookies = st.builds(lambda header: {"cookie": header}, cookie_headers())
known = st.sampled_from(
    [{"cookie": f"sc_cid={BROWSER_ID}"}, {"cookie": f"sc_cid={BROWSER_ID}; sc_cid_personalize={GUEST_ID}"}]
)
agents = st.sampled_from([{}, {}, {"user-agent": CHROME}, {"user-agent": CHROME}, {"user-agent": GOOGLEBOT}])
headers = st.builds(lambda one, other: one | other, st.one_of(known, known, cookies, st.just({})), agents)
requests = st.fixed_dictionaries({"url": urls(), "headers": headers})
cookie_requests = st.fixed_dictionaries({"url": st.just("/"), "headers": cookies | known})

# Answers.

show_answers = st.sampled_from(
    [
        *[[{"status": 200, "body": {"customer": {"ref": GUEST_ID}}}]] * 5,
        [{"status": 404, "body": {"error_msg": "no such browser", "moreInfo": "https://docs.example/e"}}],
        [{"status": 200, "body": {"customer": {"ref": ""}}}],
        [{"status": 200, "body": {}}],
        [{"status": 500, "body": {"message": "x"}}],
        [{"status": 502, "raw": "<html>"}],
    ]
)
create_answers = st.sampled_from(
    [
        *[CREATED] * 6,
        [{"status": 200, "body": {"ref": NEW_ID}}],
        [{"status": 500, "raw": "<h1>"}],
        [{"status": 401, "body": {"ref": NEW_ID}}],
        [{"status": 200, "body": {"ref": "abc"}}],
        [{"status": 200, "body": {"ref": 5}}],
        [{"status": 200, "body": {}}],
        [{"status": 200, "raw": "null"}],
    ]
)
personalize_answers = st.sampled_from(
    [
        *[[{"status": 200, "body": {"variantId": "b"}}]] * 4,
        [{"status": 200, "body": {}}],
        [{"status": 200, "raw": "null"}],
        [{"status": 204}],
        [{"status": 400, "body": {"code": 1}}],
        [{"status": 500, "raw": "<h1>"}],
        [{"status": 200, "raw": "<h1>"}],
    ]
)
servers = st.fixed_dictionaries(
    {"create": create_answers, "show": show_answers, "events": event_answers, "personalize": personalize_answers}
)
plain_servers = st.just({"create": CREATED, "personalize": [{"status": 200, "body": {"variantId": "b"}}]})

# Settings, of either SDK.

sites = st.sampled_from(["shop", "shop", "shop", "B\u00fccher", "a b", "a&b=c", "a#b", "a/b", "a+b"])
days = st.sampled_from([0, 1, 0.5, 30, 400, 401, 730, 100_000, "30", None, UNDEFINED])
domains = st.sampled_from(["shop.example", ".shop.example", "", None, "a.b.c.example", "Shop.Example"])
cookie_settings = members(
    cookieExpiryDays=days, cookieDomain=domains, cookiePath=st.sampled_from(["/", "/app", "", None])
)
any_values = members(
    contextId=st.sampled_from([CONTEXT, CONTEXT, "", None, UNDEFINED, "   ", "a b", "\u00e9", "x" * 200, 7]),
    siteName=sites | st.sampled_from(["", " ", "\t", None, UNDEFINED, "\u00a0", 7]),
    edgeUrl=targets.filter(lambda target: target != 5),
    cookieDomain=st.sampled_from(["shop.example", "a b", "x; HttpOnly", "", None]),
    cookieExpiryDays=st.sampled_from([0, 1, None, -1]),
    cookiePath=st.sampled_from(["/", "/a b", "a", "", None]),
    timeout=st.sampled_from([None, -1, 100, 1.5]),
)


def written_for(sdk: str, chosen: JSON, calls: list[JSON], rest: JSON) -> JSON:
    """A case of an SDK, its settings where it takes them."""
    enable, guest = chosen.pop("enableCookie", UNDEFINED), chosen.pop("enablePersonalizeCookie", UNDEFINED)
    config = {name: chosen.pop(name) for name in ("contextId", "siteName", "edgeUrl") if name in chosen}
    if sdk == "cloud":
        named = {"contextId": "sitecoreEdgeContextId", "edgeUrl": "sitecoreEdgeUrl", "siteName": "siteName"}
        settings = {named[name]: value for name, value in config.items()} | chosen | {"enableServerCookie": enable}
        more: JSON = {"packages": ["events", "personalize"], "personalize_settings": {"enablePersonalizeCookie": guest}}
    else:
        settings = {
            "config": config,
            "analytics": chosen | {"enableCookie": enable},
            "personalize": {"enablePersonalizeCookie": guest},
        }
        more = {"packages": ["analytics", "events", "personalize"]}
    steps = [{"call": "initialize"}, *calls]
    whole = {"id": f"live/{sdk}/sequence", "sdk": sdk, "call": "sequence", "settings": settings, **more, **rest}
    return whole | {"args": {"steps": steps}}


def cases(
    calls: st.SearchStrategy[list[JSON]],
    chosen: st.SearchStrategy[JSON],
    sdks: st.SearchStrategy[str] = SDKS,
    **rest: st.SearchStrategy[Any],
) -> st.SearchStrategy[JSON]:
    given: dict[str, st.SearchStrategy[Any]] = {"server": plain_servers, "request": requests} | rest
    return st.builds(written_for, sdks, chosen, calls, st.fixed_dictionaries(given))


def one(strategy: st.SearchStrategy[JSON]) -> st.SearchStrategy[list[JSON]]:
    return st.lists(strategy, min_size=1, max_size=1)


def shop(**more: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    fixed = {"contextId": st.just(CONTEXT), "siteName": sites, "edgeUrl": st.just("{MOCK}")}
    return st.fixed_dictionaries(fixed | more)


with_cookies = st.builds(
    lambda one, other: one | other,
    shop(enableCookie=st.just(True), enablePersonalizeCookie=st.sampled_from([True, False])),
    cookie_settings,
)
init_cases = cases(
    st.just([]), any_values, request=st.just({"url": "/", "headers": {"cookie": f"sc_cid={BROWSER_ID}"}})
)
cookie_cases = cases(
    st.just([]),
    with_cookies,
    request=cookie_requests,
    server=servers,
    response=st.sampled_from([{}, {"set_cookie": ["session=s1; Path=/; HttpOnly", "lang=en; Path=/"]}]),
)
view_cases = cases(one(view_calls), shop())
identity_cases = cases(one(identity_calls), shop())
event_cases = cases(one(event_calls), shop())
form_cases = cases(one(form_calls | bot_calls), shop(), st.just("content"))
personalize_cases = cases(one(personalize_calls), shop(), server=servers)
sequence_cases = cases(
    st.lists(view_calls | identity_calls | event_calls | personalize_calls, max_size=4), with_cookies, server=servers
)
