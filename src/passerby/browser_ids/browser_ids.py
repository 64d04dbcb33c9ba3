"""The browser IDs of an app: those that are ready, and those that are still to be made."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from ..delivery import Delivery
from ..delivery.dry_run import rehearsal
from ..delivery.sender import RetryPlan
from ..destinations import IdIssuer
from ..outbox import Outbox
from ..values.browser_id import BrowserIdForm
from .issuer import Mint
from .pool import BrowserIdCounts, BrowserIdPool


class BrowserIds:
    """Gives browser IDs to visitors, and to events of visits that had none.

    Args:
        issuer: which destination issues browser IDs, if one does.
        form: what browser IDs look like that nobody issues.
        outbox: where events wait.
        plan: when to try again.
        spare: how many IDs are kept ready when nobody comes; 0 makes none ahead.
        clock: seconds on a clock that never goes back.

    Attributes:
        issuer: the destination that issues browser IDs; None where they are made here.
        pool: the issued IDs that are ready.
    """

    def __init__(
        self,
        issuer: IdIssuer | None,
        form: BrowserIdForm,
        outbox: Outbox,
        plan: RetryPlan,
        spare: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer: IdIssuer | None = issuer
        self._form = form
        self._outbox = outbox
        self._plan = plan
        self._clock = clock
        self.pool: BrowserIdPool = BrowserIdPool(self._look_after_pool, spare, clock)

    def attach(self, delivery: Delivery) -> None:
        """Begin with a delivery that performs the calls: a new one, or that of a forked child."""
        self._delivery = delivery
        self.pool.begin_afresh()
        self._mint = Mint(
            self.issuer,
            self._form,
            self.pool,
            self._outbox,
            self._plan,
            delivery.perform,
            self._clock,
            delivery.nudge,
        )

    # What the app's threads call.

    def take(self) -> str | None:
        """Take an ID for a new visitor; None if it has to be issued and none is ready. In a dry run none is issued."""
        if self.issuer is None or rehearsal.refuses(self.issuer.origin):
            return self._form.make()
        return self.pool.take()

    def counts(self) -> BrowserIdCounts | None:
        """Return how many IDs were issued, and what became of them; None where they are made here."""
        return None if self.issuer is None else self.pool.counts

    def link(self, visitor: str, browser_id: str) -> str:
        """Give an ID to the events of a visit that had none, unless they have one already; return theirs."""
        return self._mint.link(visitor, browser_id)

    def wait(self) -> Future[str | None] | None:
        """Get in line for the next ID; None if it would be in vain because the service does not answer."""
        if self.issuer is None or self._mint.breaker.is_open:
            return None
        if self._delivery.breaker_state(self.issuer.name) != "closed":
            return None
        if self._mint.breaker.wait_until() > self._clock():  # it asked to be left alone
            return None
        return self.pool.wait() if self._delivery.start_thread() else None

    def leave_to_others(self) -> None:
        """Leave what is ready to other processes, or to this one after a restart."""
        self._mint.leave_to_others()

    # What happens in the worker's loop.

    def fill(self) -> float | None:
        """Begin to get what the pool misses; return when to look again, or None for when woken."""
        return self._mint.fill()

    async def find(self, visitor: str) -> str:
        """Get the ID for a visit that had none, once for all its events, and link it; raises NoBrowserId."""
        return await self._mint.find(visitor)

    def _look_after_pool(self) -> None:
        if self.issuer is not None:
            self._delivery.rouse()
