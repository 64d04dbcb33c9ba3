"""Values that apps hand over."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..case import JSON

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


EXTRAS: list[JSON] = [{}, {"n": None}, {"l": [1, 2]}, {"pageVariantId": "v"}, {"pageVariantId": ""}]


@st.composite
def many_attributes(draw: st.DrawFn) -> JSON:
    """Extension data near the limit of 50."""
    number = draw(st.integers(48, 52))
    flat: JSON = {f"k{index}": index for index in range(number)}
    nested: JSON = {f"g{index // 10}": {} for index in range(number)}
    for index in range(number):
        nested[f"g{index // 10}"][f"k{index}"] = index
    extra = draw(st.sampled_from(EXTRAS))
    return (nested if draw(st.booleans()) else flat) | extra


def nested(depth: int, in_lists: bool) -> JSON:
    """A mapping so many containers deep."""
    value: Any = 1
    for _ in range(depth - 1):
        value = [value] if in_lists else {"d": value}
    return {"deep": value}


deep = st.builds(nested, st.integers(11, 14), st.booleans())
large = st.builds(lambda size: {"large": "x" * size}, st.sampled_from([32_700, 32_755, 32_756, 40_000]))
extensions = st.one_of(
    st.just(UNDEFINED), st.none(), *[mappings] * 6, *[many_attributes()] * 2, deep, st.one_of(deep, large)
)

points_of_sale = st.sampled_from(["eu.example", "", " ", " x ", None, UNDEFINED, "\u00e9", 5, 0])
common = members(
    channel=st.sampled_from(["WEB", "", None, 5]),
    currency=st.sampled_from(["EUR", None]),
    language=st.sampled_from(["EN", "", None, UNDEFINED, "de"]),
    page=st.sampled_from(["home", "", None, UNDEFINED, 0, "caf\u00e9"]),
    pointOfSale=points_of_sale,
)
