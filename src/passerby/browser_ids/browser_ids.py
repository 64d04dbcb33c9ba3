"""The browser IDs of an app: a pool of ready ones, and new ones for events that have none."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from ..delivery import Delivery
from ..delivery.dry_run import dry_run_mode
from ..delivery.sender import RetryPlan
from ..destinations import BrowserIdIssuer
from ..outbox.outbox import Outbox
from ..values.browser_id import BrowserIdFormat, IssuedId
from .fetcher import BrowserIdFetcher
from .pool import BrowserIdCounts, BrowserIdPool


class BrowserIds:
    """Assigns browser IDs to visitors, and to events whose session had none.

    Args:
        issuer: the destination that issues browser IDs, if there is one.
        id_format: the format of browser IDs without an issuer.
        outbox: the outbox.
        plan: when to retry.
        spare: the number of IDs kept ready without visitors; 0 fetches none in advance.
        clock: a monotonic clock, in seconds.

    Attributes:
        issuer: the destination that issues browser IDs; None if passerby generates them.
        pool: the issued IDs that are ready.
    """

    def __init__(
        self,
        issuer: BrowserIdIssuer | None,
        id_format: BrowserIdFormat,
        outbox: Outbox,
        plan: RetryPlan,
        spare: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer: BrowserIdIssuer | None = issuer
        self._id_format = id_format
        self._outbox = outbox
        self._plan = plan
        self._clock = clock
        self.pool: BrowserIdPool = BrowserIdPool(self._refill_pool, spare, clock)

    def attach(self, delivery: Delivery) -> None:
        """Start with a delivery that performs the requests: a new one, or that of a forked child."""
        self._delivery = delivery
        self.pool.reset_after_fork()
        self._fetcher = BrowserIdFetcher(
            self.issuer,
            self._id_format,
            self.pool,
            self._outbox,
            self._plan,
            delivery.perform,
            self._clock,
            delivery.wake_in_loop,
        )

    # What the app's threads call.

    def take(self) -> IssuedId | None:
        """Take an ID for a new visitor, or None if the issuer has to be asked. In a dry run it is not asked."""
        if self.issuer is None or (dry_run_mode.check_is_on() and dry_run_mode.blocks(self.issuer.origin)):
            return IssuedId(self._id_format.generate())
        return self.pool.take()

    def counts(self) -> BrowserIdCounts | None:
        """Return the counts of issued IDs, or None if there is no issuer."""
        return None if self.issuer is None else self.pool.counts

    def link(self, visitor: str, issued: IssuedId) -> str:
        """Assign an ID to the events of a session without one. Returns their ID, which may be an earlier one."""
        return self._fetcher.link(visitor, issued)

    def wait(self) -> Future[IssuedId | None] | None:
        """Return a future for the next ID, or None if waiting is useless because the service does not respond."""
        if self.issuer is None or self._fetcher.breaker.is_open:
            return None
        if self._outbox.breaker(self.issuer.name) != "closed":
            return None
        if self._fetcher.breaker.next_attempt_at > self._clock():  # the service asked for a pause
            return None
        return self.pool.wait() if self._delivery.start_thread() else None

    def return_unused(self) -> None:
        """Give the ready IDs back for other processes, or for this one after a restart."""
        self._fetcher.return_unused()

    # What happens in the worker's loop.

    def fill(self) -> float | None:
        """Start to fetch missing IDs. Returns when to call again, or None for when woken."""
        return self._fetcher.fill()

    async def find(self, visitor: str) -> str:
        """Get an ID for a session without one, once for all its events, and link it. Raises NoBrowserId."""
        return await self._fetcher.find(visitor)

    def _refill_pool(self) -> None:
        if self.issuer is not None:
            self._delivery.wake_now()
