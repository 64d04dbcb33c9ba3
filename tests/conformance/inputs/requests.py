"""Requests of visitors: URLs and cookies, well and badly written."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import strategies as st

from ..case import JSON
from .values import texts

BROWSER_ID = "7ed103bd-08c2-47f4-8f69-91141ca3200d"
OTHER_ID = "A38B230C-11EB-4CF9-8D5D-274E9F344925"
NEW_ID = "54ead7cc-5726-427d-a89e-756498f390a9"
COOKIE = "bid_ck_demo_0001"

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


malformed = st.sampled_from(["q=%E9", "utm_source=100%", "utm_term=%C3%28&a"])


@st.composite
def urls(draw: st.DrawFn) -> str:
    path = draw(st.sampled_from(["/", "/a/b", "/caf%C3%A9", "/%E9", "https://other.example/p", "/products/shoes"]))
    pieces = draw(st.lists(st.one_of(*[query_pieces()] * 9, malformed), max_size=4))
    query = draw(st.sampled_from(["&", "&", "&&", ";"])).join(pieces)
    has_query: bool = draw(st.booleans()) or bool(pieces)
    return f"{path}?{query}" if has_query else path


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


headers: st.SearchStrategy[JSON] = (
    st.just({"cookie": f"{COOKIE}={BROWSER_ID}"})
    | st.just({})
    | st.builds(lambda header: {"cookie": header}, cookie_headers())
)
known_visitor = st.just({"cookie": f"{COOKIE}={BROWSER_ID}"})
requests = st.fixed_dictionaries({"url": urls(), "headers": st.one_of(known_visitor, known_visitor, headers)})
