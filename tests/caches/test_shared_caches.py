"""Behind a shared cache no visitor gets the ID, the signature or the user of another, whatever a response says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from passerby import Tracking
from passerby.http.caching import CacheControl, is_protected, may_be_shared
from tests.making import KEY

from .engines import ENGINES, started
from .site import KINDS, Site, Visitor, served


def marked(name: str, *values: str) -> Any:
    """A parameter for tests with a cache, which are skipped where its program is not installed."""
    return pytest.param(name, *values, marks=pytest.mark.engines(ENGINES[name][0]))


NAMES = [marked(name) for name in ENGINES]
COOKIES = ("passerby_bid", "passerby_bid_sig", "passerby_bid_uid")


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[int, Site]]:
    """The app that stands behind all caches."""
    modes: tuple[CacheControl, ...] = ("private", "override", "keep")
    trackings = {one: Tracking(secret_key=KEY, identity_provider="CRM", cache_control=one) for one in modes}
    with served(**trackings) as (port, site):
        yield port, site


@pytest.fixture(scope="module")
def port_of(app: tuple[int, Site]) -> Iterator[Callable[[str], int]]:
    """The port of a cache in front of it, each started when it is first asked for."""
    ports: dict[str, int] = {}
    with ExitStack() as stack:

        def find(name: str) -> int:
            if name not in ports:
                ports[name] = stack.enter_context(started(name, app[0]))
            return ports[name]

        yield find


def test_there_are_thirty_kinds() -> None:
    assert len(KINDS) >= 30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cache_control", ["private", "override", "keep"])
@pytest.mark.parametrize("cache", NAMES)
def test_no_visitor_is_taken_for_another(
    app: tuple[int, Site], port_of: Callable[[str], int], cache: str, cache_control: str, kind: str
) -> None:
    port, site = port_of(cache), app[1]
    site.seen.clear()
    ada, bob, guest = Visitor(port, "ada"), Visitor(port, "bob"), Visitor(port, "")
    for visitor in (ada, ada, bob, guest, bob, ada, guest, Visitor(port, "")):
        visitor.get(f"/{cache_control}/{kind}")
    for name in COOKIES:
        values = [visitor.got.get(name, set()) for visitor in (ada, bob, guest)]
        shared = (values[0] & values[1]) | (values[0] & values[2]) | (values[1] & values[2])
        assert not shared, name
    assert "passerby_bid_uid" not in guest.got
    said = KINDS[kind]
    gives = {"private": not may_be_shared(said), "override": True, "keep": is_protected(said)}
    assert (COOKIES[0] in ada.got) is gives[cache_control], "the first of all, for whom nothing was kept yet"
    assert [pair for pair in site.seen if pair[1] not in (None, pair[0])] == []


@pytest.mark.parametrize(
    ("cache", "kind"),
    [
        marked("apache", "last-modified"),
        marked("apache", "etag-and-last-modified"),
        marked("apache", "must-revalidate-expires"),
        marked("nginx that ignores Set-Cookie", "nothing"),
        marked("nginx that ignores Set-Cookie", "last-modified"),
        marked("varnish that ignores Set-Cookie", "nothing"),
        marked("varnish that ignores Set-Cookie", "no-cache-max-age"),
    ],
)
def test_a_cookie_that_an_app_sets_without_care_is_shared(port_of: Callable[[str], int], cache: str, kind: str) -> None:
    """That is what these caches do; else the test above would prove nothing."""
    first, second = Visitor(port_of(cache), "ada"), Visitor(port_of(cache), "bob")
    for visitor in (first, second):
        visitor.get(f"/bare/{kind}")
    assert second.got["own"] == first.got["own"] == {"ada"}


@pytest.mark.parametrize("cache", NAMES)
def test_what_an_app_lets_caches_keep_is_kept(app: tuple[int, Site], port_of: Callable[[str], int], cache: str) -> None:
    path = f"/private/{cache.replace(' ', '-')}/public-max-age"
    for _ in range(3):
        Visitor(port_of(cache), "").get(path)
    assert app[1].answered[path] == 1
