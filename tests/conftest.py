"""What all tests share: the asyncio backend, what Node.js and browsers need, and skips that cannot hide."""

from __future__ import annotations

import contextvars
import functools
import gc
import inspect
import os
import re
import shutil
import signal
import ssl
import threading
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import httpx._transports.default
import hypothesis
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

from passerby import Sitecore, Tracking
from passerby.collector import CollectorServer
from tests.making import KEY, PATIENCE, MakeTracking, eventually, let_go

CONFORMANCE = Path(__file__).parent / "conformance"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Times differ from machine to machine and are never an assertion; a failure says how to repeat it.
hypothesis.settings.register_profile("passerby", deadline=None, print_blob=True)
hypothesis.settings.load_profile("passerby")

# httpx gives up after five seconds unless it is told otherwise, and a machine may stand still for longer.
for _step in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _step, PATIENCE)

# Each client of httpx reads all certificates of the system, which takes as long as ten requests over plain HTTP.
PLAIN_CONTEXT = httpx.create_ssl_context()


def share_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """Stand in for httpx's `create_ssl_context`: one context for all clients that ask for nothing in particular."""
    return PLAIN_CONTEXT if verify is True and cert is None else httpx.create_ssl_context(verify, cert, trust_env)


setattr(httpx._transports.default, "create_ssl_context", share_context)  # noqa: B010 - httpx does not export it

# A shell that starts tests in the background has Ctrl-C ignored by them, and by all processes that they begin.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run every asynchronous test and fixture on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_delivery_goes_on() -> Iterator[None]:
    """Wait for the end of what a test has delivered, and fail where it goes on.

    It would log into the next test, and call servers that are gone, or whoever has their ports by then.
    """
    before = delivery_threads()
    yield
    eventually(lambda: delivery_threads() <= before)


def delivery_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "passerby-delivery"}


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    """A stand-in for Sitecore on this machine."""
    with CollectorServer() as server:
        yield server


@pytest.fixture
def make_tracking(collector: CollectorServer) -> Iterator[MakeTracking]:
    """Make a `Tracking` to the collector; it is closed in the end."""
    made: list[Tracking] = []

    def make(**settings: Any) -> Tracking:
        address: dict[str, Any] = {"client_key": "key", "target_url": collector.url, "point_of_sale": "shop"}
        address |= {name: settings.pop(name) for name in ("point_of_sale", "requested_at") if name in settings}
        usual: dict[str, Any] = {"secret_key": KEY, "channel": "WEB", "currency": "EUR"}
        usual |= {"browser_id_timeout": PATIENCE, "request_timeout": PATIENCE, "retry_base": 0.02}
        made.append(Tracking(Sitecore(**address), **(usual | settings)))
        return made[-1]

    yield make
    for tracking in made:
        let_go(tracking)


# These talk to servers of their own on this machine, or to addresses that lead nowhere; none leaves the machine. The
# dry run of the pytest plugin is off for them.
LIVE = ("delivery/", "conformance/", "test_tracking.py")


# These compare plain values, texts and pages, try commands, or repeat on a larger scale or for another destination or
# framework what the tests beside them try. They run on one Python. What can differ between Pythons is tried by the
# others: threads, asyncio, context variables, sockets, signals, forks and the end of a process, SQLite, the garbage
# collector, imports and types, regular expressions, and what reads URLs, addresses, dates and cookies.
ONCE = (
    "browser/",
    "caches/",
    "cli_outbox/test_changing.py",
    "cli_outbox/test_looking.py",
    "cli_outbox/test_terminal.py",
    "cli_outbox/test_unread.py",
    "collector/test_access_control.py",
    "collector/test_admin_api.py",
    "collector/test_beside.py",
    "collector/test_cors.py",
    "collector/test_customerio_sdks.py",
    "collector/test_datalyr_api.py",
    "collector/test_feed_item.py",
    "collector/test_health.py",
    "collector/test_people.py",
    "collector/test_person_index.py",
    "collector/test_pipelines_api.py",
    "collector/test_static.py",
    "collector/test_stream_api.py",
    "collector/test_systems.py",
    "collector/test_terminal.py",
    "conformance/",
    "demo/",
    "destinations/",
    "django/test_auth.py",
    "django/test_behind_proxies.py",
    "django/test_caches.py",
    "django/test_checks.py",
    "django/test_commands.py",
    "django/test_cookies.py",
    "django/test_page_views.py",
    "django/test_pages_of_the_site.py",
    "django/test_settings.py",
    "django/test_templatetags.py",
    "doctor/",
    "examples/",
    "faces/test_browser_id_cookie.py",
    "faces/test_log_out.py",
    "faces/test_page_names.py",
    "faces/test_page_views.py",
    "faces/test_requests.py",
    "faces/test_user_change.py",
    "outbox/test_acceptance.py",
    "outbox/test_model.py",
    "outbox/test_order.py",
    "stories/",
    "test_architecture.py",
    "test_cache_control.py",
    "test_caches.py",
    "test_caching.py",
    "test_cli.py",
    "test_context.py",
    "test_context_words.py",
    "test_cookie_context.py",
    "test_docs.py",
    "test_foreign_errors.py",
    "test_identity_digest.py",
    "test_losses.py",
    "test_pins.py",
    "test_proxies.py",
    "test_readme.py",
    "test_sensitive.py",
    "test_skips.py",
    "test_wrong_settings.py",
    "testing/test_testrun.py",
    "worker/test_servers.py",
    "worker/test_settings.py",
)


def is_below(path: Path, places: Iterable[str]) -> bool:
    return path.as_posix().startswith(tuple(f"{CONFORMANCE.parent.as_posix()}/{place}" for place in places))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read none of the files whose tests are left out, with `-m "not once"`."""
    is_left_out = re.search(r"\bnot once\b", config.option.markexpr) and is_below(collection_path, ONCE)
    return True if is_left_out else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what is collected out of the garbage collector's sight.

    It would walk through some thousands of tests again and again, and a test that calls it would wait for that.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they stand; refuse names that differ from process to process."""
    is_live = functools.cache(functools.partial(is_below, places=LIVE))
    is_once = functools.cache(functools.partial(is_below, places=ONCE))
    for item in items:
        if " object at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: found an address in its name, expected ids= that give plain ones")
        if is_live(item.path):
            item.add_marker(pytest.mark.passerby_live)
        if is_once(item.path):
            item.add_marker(pytest.mark.once)


@pytest.hookimpl(specname="pytest_collection_modifyitems", trylast=True)
def pytest_run_long_tests_first(items: list[pytest.Item], config: pytest.Config) -> None:
    """Begin with what takes long, so that no process ends with it while the others have nothing left to do.

    Each process is given an equal part of all tests, and so an equal part of those. What needs a browser is together:
    each process that runs some of it starts one. The order is random apart from that.
    """
    browser = [item for item in items if item.get_closest_marker("browser")]
    long = [item for item in items if item.get_closest_marker("long") and not item.get_closest_marker("browser")]
    heavy = [*long, *browser]
    light = sorted(items, key=set(heavy).__contains__)[: len(items) - len(heavy)]
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = chain.from_iterable(
        [*part(heavy, number, workers), *part(light, number, workers)] for number in range(workers)
    )


def part(items: list[pytest.Item], number: int, parts: int) -> list[pytest.Item]:
    return items[len(items) * number // parts : len(items) * (number + 1) // parts]


# A test keeps a processor busy for a third of its time, and waits for servers, processes and disks for the rest.
WORKERS_PER_PROCESSOR = 3


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which not everyone has who runs a single test
def pytest_xdist_auto_num_workers() -> int:
    """Choose the number of processes for `-n auto`: of the processors that this process may use, and of the waiting."""
    return WORKERS_PER_PROCESSOR * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `node`, `browser` or `engines` where what they run is missing; by default also `long` ones."""
    if item.get_closest_marker("long") and not runs_long_tests():
        pytest.skip("takes long: set REQUIRE_ALL_TESTS=1, as the full run does, or LONG_TESTS=1")
    missing = missing_for_node() if item.get_closest_marker("node") else None
    if missing is None and item.get_closest_marker("browser"):
        missing = missing_for_browser()
    if missing is None:
        missing = missing_engine(item)
    if missing:
        pytest.skip(missing)


def runs_long_tests() -> bool:
    return "1" in (os.environ.get("REQUIRE_ALL_TESTS"), os.environ.get("LONG_TESTS"))


def missing_for_node() -> str | None:
    if not shutil.which("node"):
        return "Node.js is not installed"
    if not (CONFORMANCE / "node_modules").is_dir():
        return "the npm packages of tests/conformance are not installed: run `make node`"
    return None


def missing_for_browser() -> str | None:
    if find_chromium() is None:
        return "Chromium is not installed: as root, run `apt-get install chromium`, or what your system has instead"
    return None


def missing_engine(item: pytest.Item) -> str | None:
    """Return why a test marked `engines("nginx", ...)` cannot run here: a server that it starts is not installed."""
    for marker in item.iter_markers("engines"):
        for program in marker.args:
            if find_engine(program) is None:
                return f"{program} is not installed: as root, run `apt-get install` for the package that has it"
    return None


def find_engine(program: str) -> str | None:
    """Return the path of an installed server; Debian keeps most of them in /usr/sbin, which not every PATH has."""
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Give each test context variables of its own: a request that it leaves open is not around the next one's."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        pyfuncitem.obj = functools.partial(contextvars.copy_context().run, function)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = function


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hold a single test to REQUIRE_ALL_TESTS."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Hold a whole module to REQUIRE_ALL_TESTS."""
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where REQUIRE_ALL_TESTS=1 says that everything has to run."""
    if os.environ.get("REQUIRE_ALL_TESTS") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    report.outcome = "failed"
    report.longrepr = f"REQUIRE_ALL_TESTS=1 allows no skip: {reason_of(report.longrepr)}"


def reason_of(longrepr: Any) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
