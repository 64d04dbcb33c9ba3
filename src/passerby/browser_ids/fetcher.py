"""Fetches browser IDs from the destination that issues them, and avoids fetching unused ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from logging import Logger
from typing import Any, Protocol

from ..delivery.dry_run import dry_run_mode
from ..delivery.sender import NoBrowserId, RetryPlan
from ..delivery.transport import TransportError
from ..destinations import BrowserIdIssuer, DestinationResponse, OutgoingRequest
from ..destinations.responses import classify_status
from ..errors import RemoteError
from ..logs import get_logger
from ..outbox.contract import BrowserIdExchange, BrowserLink
from ..outbox.outbox import Outbox
from ..values.browser_id import BrowserIdFormat, IssuedId
from .breaker import IssuerBreaker
from .pool import BrowserIdPool

log: Logger = get_logger("passerby.delivery")

_LINK_TIMEOUT = 0.05  # seconds
_AT_ONCE = 8  # concurrent requests for browser IDs
_CLAIM_EVERY = 10.0  # seconds between two checks for unused IDs of other processes


class PerformRequest(Protocol):
    """Performs a request. Raises TransportError."""

    async def __call__(self, call: OutgoingRequest, timeout: float) -> DestinationResponse: ...


class BrowserIdFetcher:
    """Fills the pool, and gets IDs for sessions without one. Runs in the worker's loop, except `link`.

    Args:
        issuer: the destination that issues browser IDs; None if passerby generates them.
        id_format: the format of generated IDs.
        pool: the pool of ready IDs.
        outbox: stores unused IDs of other processes, and the IDs of sessions.
        plan: when to retry.
        perform: performs a request.
        clock: a monotonic clock, in seconds.
        on_change: called when more requests may be started.
    """

    def __init__(
        self,
        issuer: BrowserIdIssuer | None,
        id_format: BrowserIdFormat,
        pool: BrowserIdPool,
        outbox: Outbox,
        plan: RetryPlan,
        perform: PerformRequest,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._issuer = issuer
        self._id_format = id_format
        self._pool = pool
        self._outbox = outbox
        self._plan = plan
        self._perform = perform
        self._clock = clock
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: dict[str, asyncio.Future[str]] = {}
        self._semaphore = asyncio.Semaphore(_AT_ONCE)
        self._semaphore_loop: asyncio.AbstractEventLoop | None = None
        self._next_claim = clock()
        name = issuer.name if issuer is not None else None
        self.breaker: IssuerBreaker = IssuerBreaker(f"{name}, browser IDs", plan.base, clock)

    def fill(self) -> float | None:
        """Start to fetch missing IDs. Returns when to call again, or None for when woken."""
        if self._issuer is None or dry_run_mode.blocks(self._issuer.origin):
            return None
        now = self._clock()
        missing = self._pool.missing()
        if missing and self._outbox.is_durable and self._next_claim <= now and self._outbox.is_working:
            self._next_claim = now + _CLAIM_EVERY
            self._pool.expect(missing)
            self._begin_task(self._claim(self._issuer, missing))
            return None
        for _ in range(self.breaker.slots(min(missing, _AT_ONCE - len(self._tasks)))):
            self.breaker.begin()
            self._pool.expect()
            self._begin_task(self._fetch_for_pool(self._issuer))
        return self.breaker.next_attempt_at if self.breaker.next_attempt_at > now else None

    async def find(self, visitor: str) -> str:
        """Get an ID for a session without one, once for all its events, and link it. Raises NoBrowserId.

        A search that takes longer than a request goes on, and the next call waits for it again.
        """
        pending = self._links.get(visitor)
        if pending is None:
            pending = self._links[visitor] = asyncio.ensure_future(self._find(visitor))
            pending.add_done_callback(lambda found: self._forget(visitor, found))
        try:
            async with asyncio.timeout(self._plan.timeout):
                return await asyncio.shield(pending)
        except TimeoutError:
            raise NoBrowserId("no browser ID in time") from None

    def _forget(self, visitor: str, found: asyncio.Future[str]) -> None:
        self._links.pop(visitor, None)
        if not found.cancelled():
            found.exception()  # otherwise asyncio logs it as never retrieved if all waiters were cancelled

    def link(self, visitor: str, issued: IssuedId) -> str:
        """Assign an ID to the events of a session without one. Returns their ID, which may be an earlier one.

        A store that does not answer in time gets the link later.
        """
        before = self._outbox.ask_now(BrowserLink("visit", visitor, issued.browser_id), _LINK_TIMEOUT)
        return self._linked(issued, before)

    def _linked(self, issued: IssuedId, before: str | None) -> str:
        if before is None or before == issued.browser_id:
            return issued.browser_id
        if self._issuer is not None:
            self._pool.put_back(issued)
        return before

    def return_unused(self) -> None:
        """Give the ready IDs back for other processes, or for this one after a restart."""
        if self._issuer is not None and self._outbox.is_durable:
            left = [issued.as_text() for issued in self._pool.drain()]
            if left:
                self._outbox.ask(BrowserIdExchange(_pool_key(self._issuer), put_back=left))

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim(self, issuer: BrowserIdIssuer, number: int) -> None:
        """Claim unused IDs of other processes instead of fetching new ones."""
        claiming = self._outbox.ask(BrowserIdExchange(_pool_key(issuer), wanted=number))
        claimed: list[str] = []
        try:
            claimed = await asyncio.wrap_future(claiming)
        finally:
            if claiming.done() and not claiming.cancelled():  # also if this task has been cancelled meanwhile
                claimed = claiming.result()
            self._pool.claim(list(map(IssuedId.read, claimed)), number)
            self._on_change()

    async def _fetch_for_pool(self, issuer: BrowserIdIssuer) -> None:
        try:
            self._pool.add(await self._fetch(issuer))
        except (TransportError, RemoteError):
            self._pool.fail()
        except BaseException:
            self._pool.fail()
            raise
        finally:
            self._on_change()

    async def _fetch(self, issuer: BrowserIdIssuer) -> IssuedId:
        """Fetch an ID from the service, and report the result to its breaker."""
        response: DestinationResponse | None = None
        try:
            question = issuer.new_id_query()
            response = await self._perform(question.request, self._plan.timeout)
            issued: IssuedId | str = question.parse(response)
        except (TransportError, RemoteError) as error:
            result = classify_status(response) if response is not None else None
            self.breaker.on_failure(str(error), getattr(result, "after", None))
            raise
        except Exception as error:  # a bug must not be repeated at once and for ever
            log.exception("cannot fetch a browser ID")
            self.breaker.on_failure(f"internal error: {type(error).__name__}")
            raise RemoteError(f"internal error: {type(error).__name__}") from error
        except BaseException:
            self.breaker.on_abandoned()
            raise
        self.breaker.on_success()
        return issued if isinstance(issued, IssuedId) else IssuedId(issued)

    async def _find(self, visitor: str) -> str:
        if self._issuer is None:
            issued = IssuedId(self._id_format.generate())
        else:
            issued = self._pool.take() or await self._fetch_limited(self._issuer)
        linking = self._outbox.ask(BrowserLink("visit", visitor, issued.browser_id))
        return self._linked(issued, await asyncio.wrap_future(linking))

    async def _fetch_limited(self, issuer: BrowserIdIssuer) -> IssuedId:
        """Fetch an ID for a session whose events wait. Limits concurrency: a batch may contain many such sessions."""
        loop = asyncio.get_running_loop()
        if self._semaphore_loop is not loop:  # the worker was restarted, and a semaphore belongs to one loop
            self._semaphore, self._semaphore_loop = asyncio.Semaphore(_AT_ONCE), loop
        async with self._semaphore:
            return await self._fetch_if_allowed(issuer)

    async def _fetch_if_allowed(self, issuer: BrowserIdIssuer) -> IssuedId:
        now = self._clock()
        if not self.breaker.slots(1):
            raise NoBrowserId("no browser ID available", max(0.0, self.breaker.next_attempt_at - now))
        self.breaker.begin()
        self._pool.expect()
        try:
            issued = await self._fetch(issuer)
        except (TransportError, RemoteError):
            self._pool.fail()
            raise NoBrowserId("no browser ID available") from None
        except BaseException:
            self._pool.fail()
            raise
        finally:
            self._on_change()  # the pool was filled less while this request was under way
        self._pool.count_direct()
        return issued


def _pool_key(issuer: BrowserIdIssuer) -> str:
    """Return the key of the stored unused IDs: service and account."""
    return f"{issuer.origin} {issuer.cookie_name}"
