"""Calls and their arguments, likely ones and those near the borders."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..case import JSON
from .values import UNDEFINED, common, dates, extensions, joined, mappings, members, scalars, texts, values

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
            *["{:04}-{:02}-{:02}T{:02}:{:02}"] * 8, "{:04}-{:02}-{:02}", "{:04}-{:02}-{:02} {:02}:{:02}",
            "{}-{}-{}T{}:{}", "{:04}-{:02}-{:02}T{:02}:{:02}Z", "{:04}-{:02}-{:02}T{:02}:{:02}:00",
            "{:04}-{:02}-{:02}T{:02}:{:02}\n",
        ]
    ),
)  # fmt: skip
moments: st.SearchStrategy[Any] = (
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
