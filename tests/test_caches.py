"""What is remembered from request to request: it must not grow with what strangers send.

A cache that is bounded by the number of its entries is as large as strangers make its entries.
"""

from __future__ import annotations

import functools
import gc
import logging
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from passerby import CustomerIO, Tracking
from passerby.http.request import TRACKER_KEY
from passerby.logs import RateLimitFilter
from tests.making import BROWSER_ID, KEY, make_environ, make_scope

MOST = 16_000_000  # bytes that one cache may hold when it is full
MOST_IN_ALL = 12_000_000  # bytes that 1,000 hostile requests may leave behind, all caches together
LruCache = Any

EMOJI = "\N{PILE OF POO}"


def _query(number: int, text: str, repeated: int) -> str:
    return f"utm_source={number}{text * repeated}&utm_campaign={text * repeated}&variantid={number}"


HOSTILE: dict[str, Callable[[int], dict[str, Any]]] = {
    "query of raw emoji": lambda number: {"target": f"/?{_query(number, EMOJI, 1_000)}"},
    "query of escaped emoji": lambda number: {"target": f"/?{_query(number, '%F0%9F%92%A9', 340)}"},
    "query of letters": lambda number: {"target": f"/?{_query(number, 'a', 4_000)}"},
    "query of separators": lambda number: {"target": f"/?utm_source={number}{'&' * 8_000}"},
    "short query of raw emoji": lambda number: {"target": f"/?{_query(number, EMOJI, 100)}"},
    "query of medium length": lambda number: {"target": f"/?{_query(number, 'b', 230)}"},
    "identity cookie": lambda number: {"cookie": f"passerby_bid_uid={number}.{'x' * 4_000}"},
    "identity cookie of medium length": lambda number: {"cookie": f"passerby_bid_uid={number}.{'x' * 490}"},
    "identity cookie beyond ASCII": lambda number: {"cookie": f"passerby_bid_uid={number}.{chr(233) * 4_000}"},
    "signature": lambda number: {"cookie": f"passerby_bid_sig={number}.{'x' * 4_000}"},
    "signature of medium length": lambda number: {"cookie": f"passerby_bid_sig={number}.{'x' * 110}"},
    "user agent": lambda number: {"user-agent": f"{number} {'x' * 8_000}"},
    "user agent beyond ASCII": lambda number: {"user-agent": f"{number} {chr(233) * 8_000}"},
    "languages": lambda number: {"accept-language": f"en-{number}," + "a-b-c-d-e," * 800},
    "referrer": lambda number: {"referer": f"https://{number}.example/{'x' * 8_000}"},
    "referrer with a long host": lambda number: {"referer": f"https://{'x' * 2_000}{number}.example/"},
    "host": lambda number: {"host": f"{number}.{'x' * 8_000}.example"},
    "forwarded": lambda number: {"x-forwarded-for": f"{number}, " * 1_000},
    "accept": lambda number: {"accept": f"text/html;q=0.{number}," * 500},
    "fetch metadata": lambda number: {"sec-fetch-dest": f"{number}" + "x" * 8_000},
}


@pytest.fixture
def tracking() -> Iterator[Tracking]:
    tracking = Tracking(
        CustomerIO(write_key="key", target_url="http://localhost:9"),
        secret_key=KEY,
        max_events=10,
        trusted_proxies=["*"],
    )
    yield tracking
    tracking.close(0.0)


def visit(tracking: Tracking, number: int, hostile: dict[str, Any]) -> None:
    """Both kinds of server hand over a request with something hostile in it, and the app tracks it."""
    hostile = dict(hostile)
    target = hostile.pop("target", "/")
    headers = {"accept": "text/html", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", **hostile}
    cookie = headers.pop("cookie", "")
    valid = f"passerby_bid={BROWSER_ID[:-6]}{number:06}"
    headers["cookie"] = f"{valid}; {cookie}" if cookie else valid
    host = headers.pop("host", "shop.example")
    for native in (make_scope(target, headers, host=host), make_environ(target, headers, host=host)):
        tracker = tracking.tracker_for(native)
        tracker.page_view()
        tracking.handle_cookie_sync(native, [])
        native.pop(TRACKER_KEY, None)


def caches() -> list[LruCache]:
    """All that functools remembers for passerby, whether it belongs to a module or to an object."""
    return list({id(one): one for one in (*caches_of_before(), *tracked_caches())}.values())


@functools.cache
def caches_of_before() -> list[LruCache]:
    """Those of before the tests began: what tests/conftest.py has frozen is not among the collector's objects."""
    gc.unfreeze()
    gc.collect()
    found = tracked_caches()
    gc.freeze()
    return found


def tracked_caches() -> list[LruCache]:
    # By the type that it has: a lazy object of a framework would look for its settings to say what it stands for.
    found = (one for one in gc.get_objects() if issubclass(type(one), functools._lru_cache_wrapper))
    return [one for one in found if (getattr(one, "__module__", None) or "").startswith("passerby")]


def size_of(cache: LruCache) -> float:
    """The bytes that a cache would hold if it were full of what it holds."""
    info = cache.cache_info()
    assert info.maxsize is not None, f"{cache} has no bound at all"
    if not info.currsize:
        return 0.0
    contents = [one for one in gc.get_referents(cache) if not callable(one) and one is not cache.__dict__]
    return float(_deep_size(contents, set()) / info.currsize * info.maxsize)


def _deep_size(objects: list[Any], seen: set[int]) -> int:
    size = 0
    while objects:
        one = objects.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        if isinstance(one, dict):
            objects += chain.from_iterable(one.items())
        elif isinstance(one, list | tuple | set | frozenset):
            objects += one
    return size


def clear() -> None:
    for cache in caches():
        cache.cache_clear()


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_cache_is_larger_for_what_strangers_send(tracking: Tracking, kind: str) -> None:
    clear()
    for number in range(60):
        visit(tracking, number, HOSTILE[kind](number))

    sizes = {f"{cache.__module__}.{cache.__qualname__}": size_of(cache) for cache in caches()}
    assert {name: size for name, size in sizes.items() if size > MOST} == {}
    assert sum(cache.cache_info().currsize for cache in caches()) > 0, "the caches of this process are looked at"


def test_caches_know_what_comes_again(tracking: Tracking) -> None:
    """What honest browsers send is remembered still."""
    clear()
    query = "utm_source=newsletter&utm_medium=email&utm_campaign=spring&gclid=" + "x" * 100
    for _ in range(10):
        visit(tracking, 1, {"target": f"/?{query}", "referer": "https://search.example/", "accept-language": "en-GB"})

    hits = {cache.__qualname__: cache.cache_info().hits for cache in caches()}
    assert hits["_read_query"] >= 9


@pytest.mark.long
@pytest.mark.timeout(400)  # each allocation is traced
@pytest.mark.parametrize("kind", ["query of raw emoji", "query of escaped emoji", "identity cookie", "referrer"])
def test_memory_does_not_grow_with_hostile_requests(tracking: Tracking, kind: str) -> None:
    clear()
    for number in range(50):
        visit(tracking, number, HOSTILE[kind](number))
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(500):
            visit(tracking, number, HOSTILE[kind](number))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < MOST_IN_ALL


@pytest.mark.parametrize("length", [1_000, 20_000, 300_000])
def test_the_log_remembers_no_long_reasons(length: int) -> None:
    rate_limit = RateLimitFilter()
    for number in range(100):
        reason = f"{chr(97 + number % 26) * (number // 26 + 1)} {'x' * length}"
        rate_limit.filter(logging.LogRecord("passerby", logging.WARNING, "", 0, reason, None, None))
    assert sum(map(len, rate_limit._seen)) <= 100 * 500
