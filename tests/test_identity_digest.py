"""The digest of an identity: equal for equal content, so that each worker knows what another one has sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.attributes import plain
from passerby.events.event import Event
from passerby.events.identity import make_stored_identity
from passerby.events.pii import hash_traits
from passerby.http.visitor_cookies import StoredIdentity
from passerby.values.json import dumps_sorted, dumps_sorted_with_stdlib
from tests.making import BROWSER_ID

ROOT = Path(__file__).parents[1]

scalars = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=4)
values = st.recursive(
    scalars | st.frozensets(scalars, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)

# What one worker says of a log-in; the order of its sets is another in each.
SCRIPT = """
import enum
from types import SimpleNamespace
from passerby import CustomerIO, Tracking
from tests.making import BROWSER_ID, KEY

class Role(enum.Enum):
    ADMIN, BUYER, EDITOR = "admin", "buyer", "editor"

both = CustomerIO(write_key="k", name="eu"), CustomerIO(write_key="k", name="us")
tracking = Tracking(*both, secret_key=KEY, hash_traits={"groups", "email"})
traits = {
    "roles": {"admin", "buyer", "editor", "viewer"},
    "teams": frozenset({Role.ADMIN, Role.BUYER, Role.EDITOR}),
    "mixed": {"a", "b", 1, 2.5, None, True},
    "pairs": {("a", "b"), ("c", "d"), ("e", "f")},
    "groups": {"x", "y", "z"},
    "nested": {name: {"deep": {"p", "q", "r"}} for name in {"one", "two", "three"}},
}
names = {"eu", "us"}
tracker = tracking.for_visitor(BROWSER_ID)
tracker.identify("ada", {name: traits[name] for name in set(traits)}, destinations=list(names))
print(tracker.session.stored_identity.digest)
"""


def digest_of(extension: dict[str, Any], destinations: tuple[str, ...] = ("sitecore",), **data: Any) -> str:
    event = Event("id", "identity", None, 0.0, BROWSER_ID, BROWSER_ID, "ada", plain(data, "d"), plain(extension, "e"))
    remembered: StoredIdentity = make_stored_identity(event, destinations, 0)
    return remembered.digest


def turned(value: Any) -> Any:
    """The same content, with dicts the other way round."""
    if isinstance(value, dict):
        return {name: turned(inner) for name, inner in reversed(value.items())}
    return [turned(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=3), values, max_size=5))
def test_the_order_of_dicts_and_sets_does_not_matter(content: dict[str, Any]) -> None:
    assert digest_of(content) == digest_of(turned(content))
    assert digest_of({}, **{f"x{name}": value for name, value in content.items()}) == digest_of(
        {}, **{f"x{name}": value for name, value in turned(content).items()}
    )


@given(st.lists(scalars | st.tuples(scalars, scalars), unique=True, max_size=8), st.randoms())
def test_a_set_is_sorted_whatever_is_in_it(members: list[Any], random: Any) -> None:
    shuffled = random.sample(members, len(members))
    first, second = dict.fromkeys(members).keys(), dict.fromkeys(shuffled).keys()  # sets that keep their order
    assert plain({"roles": first}, "traits") == plain({"roles": second}, "traits")


@pytest.mark.parametrize("other", [["b", "a"], {"a", "b", "c"}, [["a", "b"]], {"a": "b"}])
def test_other_content_has_another_digest(other: Any) -> None:
    assert digest_of({"roles": {"a", "b"}}) == digest_of({"roles": ["a", "b"]}) != digest_of({"roles": other})


def test_the_order_of_destinations_does_not_matter() -> None:
    assert digest_of({}, ("a", "b")) == digest_of({}, ("b", "a")) != digest_of({}, ("a",))


def test_a_hash_of_what_is_nested_in_a_list_is_the_same_in_any_order() -> None:
    given = {"contacts": [{"email": "a@b.example", "name": "Ada"}]}
    other = {"contacts": [dict(reversed(given["contacts"][0].items()))]}
    assert hash_traits(given, {"contacts"}) == hash_traits(other, {"contacts"})


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_both_ways_of_writing_it_are_the_same(content: dict[str, Any]) -> None:
    value = plain(content, "traits")
    assert dumps_sorted(value) == dumps_sorted_with_stdlib(value)


def test_three_workers_agree() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 18
