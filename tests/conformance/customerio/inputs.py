"""Inputs for cases, in the form of the vectors files: what apps may come up with, likely and unlikely."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..case import JSON
from .vendor import with_time

texts = st.sampled_from(
    ["", " ", "a", "\u00e9", "\u8cb7\u7269", "\U0001f6d2", "x" * 300, "\u2028", "\0", "<b>", "\\", '"']
)
texts |= st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
RESERVED = ["created_at", "createdAt", "first_name", "firstName", "last_name", "lastName", "email", "title", "gender"]
words = st.sampled_from(["a", "b", "plan", "total", "a_b", "page", "language", "channel", "name", "", *RESERVED])
names = words | st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
    lambda name: name not in ("__proto__", "$js", "$py", "point_of_sale", "pointOfSale")
)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
scalars = st.none() | st.booleans() | numbers | texts
python_values = st.sampled_from(
    [
        {"$py": "datetime", "value": "2020-01-02T03:04:05"},
        {"$py": "datetime", "value": "2020-01-02T03:04:05.678901+05:30"},
        {"$py": "date", "value": "2020-01-02"},
        {"$py": "decimal", "value": "0.142857"},
        {"$py": "enum", "value": "PRO"},
        {"$py": "tuple", "items": [1, "a"]},
        {"$py": "set", "items": ["one"]},
        {"$py": "uuid", "value": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        {"$py": "nan"},
        {"$py": "infinity"},
        {"$py": "object"},
        {"$py": "bytes", "base64": "aMOp"},
    ]
)
node_values = st.just({"$js": "Date", "value": "2024-05-06T07:08:09.120Z"})


def mappings(sdk: str) -> st.SearchStrategy[JSON]:
    own = python_values if sdk == "python" else node_values
    values = st.recursive(
        st.one_of(scalars, scalars, scalars, own),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=8,
    )
    return st.dictionaries(names, values, max_size=6)


ids = st.sampled_from(["u1", "97980cfea0067", "ada@shop.example", "\u00fc1", "x" * 255])
numbered = ids | st.integers(-5, 10**9)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "ip": st.sampled_from(["203.0.113.9", "2001:db8::"]),
        "userAgent": st.just("UA"),
        "locale": st.just("de-DE"),
        "page": st.sampled_from(
            [{"url": "https://shop.example/a"}, {"url": "https://shop.example/a?x=1", "path": "/a"}, {"title": "A"}]
        ),
        "library": st.just({"name": "mine"}),
        "campaign": st.sampled_from([{"name": "spring", "source": "news"}, {"utm_medium": "email"}, {"medium": 5}]),
        "timezone": st.just("Europe/Vienna"),
        "device": st.just({"type": "ios"}),
    },
)
integrations = st.sampled_from([{}, {"All": False}, {"All": True, "Mixpanel": {"a": [1]}}])
times = st.sampled_from(["2024-03-04T05:06:07.891999+02:00", "1999-12-31T23:59:59.999000", "2020-02-29T00:00:00+00:00"])


@st.composite
def cases(draw: st.DrawFn, sdk: str, call: str) -> JSON:
    """A case of one call."""
    user, anonymous, message = ("user_id", "anonymous_id", "message_id")
    group, previous = ("group_id", "previous_id")
    if sdk == "node":
        user, anonymous, message = ("userId", "anonymousId", "messageId")
        group, previous = ("groupId", "previousId")
    given: dict[str, st.SearchStrategy[Any]] = {"context": contexts, "integrations": integrations}
    if sdk == "python":
        given["timestamp"] = times.map(lambda text: {"$py": "datetime", "value": text})
    given[message] = st.sampled_from(["m1", "0f8fad5b-d9cb-469f-a165-70867728950e", 17])
    any_id = numbered if sdk == "python" else ids
    who = draw(st.sampled_from([{user}, {anonymous}, {user, anonymous}, {user}]))
    named: dict[str, st.SearchStrategy[Any]] = {name: any_id if name == user else ids for name in sorted(who)}
    if call in ("identify", "group"):
        given["traits"] = mappings(sdk)
    if call in ("track", "page", "screen"):
        given["properties"] = mappings(sdk)
    if call == "track":
        named["event"] = texts
    if call == "page":
        given |= {"name": texts.filter(bool), "category": texts.filter(bool)}
    if call == "screen":
        named["name"] = texts
        given["category"] = texts.filter(bool)
    if call == "group":
        named[group] = any_id
    if call == "alias":
        named = {user: any_id, previous: any_id}
    args = draw(st.fixed_dictionaries(named, optional=given))
    client = {"gzip": True} if sdk == "python" and draw(st.booleans()) else {}
    return {"id": f"live/{sdk}/{call}", "sdk": sdk, "call": call, "client": client, "args": with_time(args, sdk, 1)}
