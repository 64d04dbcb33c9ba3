"""Several sites in one app, each with its own settings, chosen by the request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from logging import Logger
from typing import Protocol

from ..errors import SettingsError
from ..http.proxies import TRUSTED_HEADERS, TrustedProxies
from ..http.request import RequestInfo
from ..logs import get_logger
from ..process import register_fork_aware
from ..values.callbacks import check_function, discard_awaitable
from .lifecycle import RequestLifecycle
from .on_commit import Transactions
from .receipt import DEFAULT_WAIT
from .stats import Stats
from .tracker import Tracker
from .tracking import Tracking

log: Logger = get_logger("passerby")


class TrackingSource(Protocol):
    """The source of trackers for a middleware: a `Tracking`, or `Sites`."""

    def for_request(self, request: RequestInfo) -> RequestLifecycle:
        """Return the lifecycle for a request."""
        ...

    def outside_request(self) -> Tracker:
        """Return a tracker for code that may run outside of a request. It drops all events."""
        ...

    def start(self) -> None:
        """Start the background threads."""
        ...

    def flush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Wait until all events are delivered. Returns how many still wait."""
        ...

    async def aflush(self, timeout: float = DEFAULT_WAIT) -> int:
        """The same as `flush`, without blocking the event loop."""
        ...

    def record_with(self, transactions: Transactions | None) -> None:
        """Record events tracked in a database transaction when it is committed."""
        ...


class Sites:
    """A `Tracking` for each of several sites, tenants or brands of one app, created on first use.

    Sites share nothing: keys, cookies, destinations and events are those of the request's site.

    Args:
        find: called with the facts of each request; returns the name of its site, from a list that the app knows
            (never a host name from the request), or None for no site, where nothing is tracked.
        make: called with a site's name; returns its `Tracking`.
        trusted_proxies: as the setting of the same name, for `find` and for all sites that do not set it themselves.
        trusted_proxy_headers: as the setting of the same name.

    Raises:
        SettingsError: a proxy or a header is wrong, or one of the two is not a plain function.
    """

    def __init__(
        self,
        find: Callable[[RequestInfo], str | None],
        make: Callable[[str], Tracking],
        *,
        trusted_proxies: Iterable[str] | int = (),
        trusted_proxy_headers: Iterable[str] = TRUSTED_HEADERS,
    ) -> None:
        check_function(find, "find", "a plain function that takes the request's facts and gives a name or None")
        check_function(make, "make", "a plain function that takes a site's name and gives its Tracking")
        self._proxies = TrustedProxies(trusted_proxies, trusted_proxy_headers)
        self._find = find
        self._make = make
        self._making = threading.Lock()
        self._made: dict[str, Tracking] = {}
        self._transactions: Transactions | None = None
        self._nowhere = Tracking(consent=lambda request: None, set_cookie=False)
        register_fork_aware(self)

    def __repr__(self) -> str:
        return f"<Sites {', '.join(self._made) or 'none yet'}>"

    def for_request(self, request: RequestInfo) -> RequestLifecycle:
        """Return the lifecycle of a request's site. If there is none, return one that tracks nothing."""
        request.trust(self._proxies)
        try:
            name = self._find(request)
            if discard_awaitable(name):
                log.error("find returned an awaitable, expected the name of a site or None; nothing is tracked")
                name = None
            tracking = self._nowhere if name is None else self[name]
        except Exception:
            log.exception("cannot find the site of a request; nothing is tracked in it")
            tracking = self._nowhere
        return tracking.for_request(request)

    def outside_request(self) -> Tracker:
        """Do as `Tracking.outside_request` does."""
        return self._nowhere.outside_request()

    def __getitem__(self, name: str) -> Tracking:
        """Return the tracking of a site, and create it if necessary. Exceptions of `make` are passed on."""
        tracking = self._made.get(name)
        if tracking is None:
            with self._making:
                tracking = self._made.get(name)
                if tracking is None:
                    tracking = _checked(self._make(name))
                    tracking.record_with(self._transactions)
                    self._made[name] = tracking
        return tracking

    def start(self) -> None:
        """Start the background threads of the sites that were used so far."""
        for tracking in list(self._made.values()):
            tracking.start()

    def flush(self, timeout: float = DEFAULT_WAIT) -> int:
        """Wait at most `timeout` seconds for the events of all sites, which are delivered in parallel.

        Returns how many still wait.
        """
        until = time.monotonic() + timeout
        return sum(tracking.flush(_left_until(until)) for tracking in list(self._made.values()))

    async def aflush(self, timeout: float = DEFAULT_WAIT) -> int:
        """The same as `flush`, without blocking the event loop."""
        until = time.monotonic() + timeout
        return sum([await tracking.aflush(_left_until(until)) for tracking in list(self._made.values())])

    def close(self, timeout: float | None = None) -> int:
        """Flush and stop the background threads. Returns how many events still wait.

        Without a timeout each site has its own `close_timeout`, which includes the time waited for others.
        """
        begun = time.monotonic()
        left = 0
        for tracking in list(self._made.values()):
            whole = tracking.close_timeout if timeout is None else timeout
            left += tracking.close(_left_until(begun + whole))
        return left

    def record_with(self, transactions: Transactions | None) -> None:
        """Do as `Tracking.record_with` does, for all sites."""
        self._transactions = transactions
        for tracking in list(self._made.values()):
            tracking.record_with(transactions)

    def stats(self) -> Mapping[str, Stats]:
        """Return the ledgers by site."""
        return {name: tracking.stats() for name, tracking in list(self._made.items())}

    def reset_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent that held it never releases it."""
        self._making = threading.Lock()


def _checked(made: object) -> Tracking:
    """Return the result of `make`. Raises SettingsError if it is not a `Tracking`."""
    if discard_awaitable(made) or not isinstance(made, Tracking):
        raise SettingsError(f"make: found {type(made).__name__}, expected a Tracking")
    return made


def _left_until(moment: float) -> float:
    return max(0.0, moment - time.monotonic())
