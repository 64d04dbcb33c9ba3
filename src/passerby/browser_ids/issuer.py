"""The mint: gets browser IDs from whoever issues them, and sees to it that few are made in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from logging import Logger
from typing import Any, Protocol

from ..delivery.breaker import Breaker
from ..delivery.dry_run import rehearsal
from ..delivery.sender import NoBrowserId, RetryPlan
from ..delivery.transport import NoAnswer
from ..destinations import Answer, Call, IdIssuer
from ..destinations.answers import judge_status
from ..errors import RemoteError
from ..logs import get_logger
from ..outbox import Outbox
from ..values.browser_id import BrowserIdForm
from .pool import BrowserIdPool

log: Logger = get_logger("passerby.delivery")

_AT_ONCE = 8  # browser IDs that are made at the same time
_CLAIM_EVERY = 10.0  # seconds between two looks for IDs that others have left unused


class Perform(Protocol):
    """Performs a call; raises NoAnswer."""

    async def __call__(self, call: Call, timeout: float) -> Answer: ...


class Mint:
    """Fills the pool, and finds the IDs of visits that had none. Lives in the worker's loop, but for `link`.

    Args:
        issuer: who issues browser IDs; None if they are ours to make.
        form: what those look like that are ours.
        pool: where those are that are ready.
        outbox: where other processes have left IDs unused, and which notes whose a visit is.
        plan: when to try again.
        perform: performs a call.
        clock: seconds on a clock that never goes back.
        on_change: called when there may be more to begin.
    """

    def __init__(
        self,
        issuer: IdIssuer | None,
        form: BrowserIdForm,
        pool: BrowserIdPool,
        outbox: Outbox,
        plan: RetryPlan,
        perform: Perform,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._issuer = issuer
        self._form = form
        self._pool = pool
        self._outbox = outbox
        self._plan = plan
        self._perform = perform
        self._clock = clock
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: dict[str, asyncio.Future[str]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._gate_loop: asyncio.AbstractEventLoop | None = None
        self._next_claim = clock()
        name = issuer.name if issuer is not None else None
        self.breaker: Breaker = Breaker(f"{name}, browser IDs", shortest=plan.base)

    def fill(self) -> float | None:
        """Begin to get what the pool misses; return when to look again, or None for when woken."""
        if self._issuer is None or rehearsal.refuses(self._issuer.origin):
            return None
        now = self._clock()
        missing = self._pool.missing()
        if missing and self._outbox.is_durable and self._next_claim <= now:
            self._next_claim = now + _CLAIM_EVERY
            self._pool.begin(missing)
            self._begin_task(self._claim(self._issuer, missing))
            return None
        for _ in range(self.breaker.slots(now, min(missing, _AT_ONCE - len(self._tasks)))):
            self.breaker.begin()
            self._pool.begin()
            self._begin_task(self._make(self._issuer))
        return self.breaker.wait_until() if self.breaker.wait_until() > now else None

    async def find(self, visitor: str) -> str:
        """Get the ID for a visit that had none, once for all its events, and link it; raises NoBrowserId."""
        pending = self._links.get(visitor)
        if pending is None:
            pending = self._links[visitor] = asyncio.ensure_future(self._find(visitor))
            pending.add_done_callback(lambda found: self._forget(visitor, found))
        return await asyncio.shield(pending)

    def _forget(self, visitor: str, found: asyncio.Future[str]) -> None:
        self._links.pop(visitor, None)
        if not found.cancelled():
            found.exception()  # where all who waited are gone, asyncio would log it as never looked at

    def link(self, visitor: str, browser_id: str) -> str:
        """Give an ID to the events of a visit that had none, unless they have one already; return theirs."""
        linked = self._outbox.link(visitor, browser_id)
        if linked != browser_id and self._issuer is not None:
            self._pool.give_back(browser_id)
        return linked

    def leave_to_others(self) -> None:
        """Leave what is ready to other processes, or to this one after a restart."""
        if self._issuer is not None and self._outbox.is_durable:
            self._outbox.put_back_browser_ids(_stock_of(self._issuer), self._pool.drain())

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim(self, issuer: IdIssuer, number: int) -> None:
        """Take over what others have left unused, rather than having more made."""
        claiming = self._outbox.claim_browser_ids(_stock_of(issuer), number)
        claimed: list[str] = []
        try:
            claimed = await asyncio.wrap_future(claiming)
        finally:
            if claiming.done() and not claiming.cancelled():  # also if this has been given up meanwhile
                claimed = claiming.result()
            self._pool.claim(claimed, number)
            self._on_change()

    async def _make(self, issuer: IdIssuer) -> None:
        try:
            self._pool.bring(await self._create(issuer))
        except (NoAnswer, RemoteError):
            self._pool.fail()
        except BaseException:
            self._pool.fail()
            raise
        finally:
            self._on_change()

    async def _create(self, issuer: IdIssuer) -> str:
        """Have the service make an ID; its breaker is told how that went."""
        answer: Answer | None = None
        try:
            question = issuer.create_question()
            answer = await self._perform(question.call, self._plan.timeout)
            browser_id = question.read(answer)
        except (NoAnswer, RemoteError) as error:
            verdict = judge_status(answer) if answer is not None else None
            self.breaker.on_failure(self._clock(), str(error), getattr(verdict, "after", None))
            raise
        except Exception as error:  # our own mistake must not be made again at once and for ever
            log.exception("no browser ID could be made")
            self.breaker.on_failure(self._clock(), f"internal error: {type(error).__name__}")
            raise RemoteError(f"internal error: {type(error).__name__}") from error
        except BaseException:
            self.breaker.on_abandoned()
            raise
        self.breaker.on_success()
        return browser_id

    async def _find(self, visitor: str) -> str:
        if self._issuer is None:
            return self.link(visitor, self._form.make())
        return self.link(visitor, self._pool.take() or await self._create_in_turn(self._issuer))

    async def _create_in_turn(self, issuer: IdIssuer) -> str:
        """Have an ID made for a visit whose events wait, some at a time: a batch may be of many such visits."""
        loop = asyncio.get_running_loop()
        if self._gate_loop is not loop:  # the worker has begun anew, and a semaphore belongs to one loop
            self._gate, self._gate_loop = asyncio.Semaphore(_AT_ONCE), loop
        async with self._gate:
            return await self._create_when_allowed(issuer)

    async def _create_when_allowed(self, issuer: IdIssuer) -> str:
        now = self._clock()
        if not self.breaker.slots(now, 1):
            raise NoBrowserId("no browser ID to be had", max(0.0, self.breaker.wait_until() - now))
        self.breaker.begin()
        self._pool.begin()
        try:
            browser_id = await self._create(issuer)
        except (NoAnswer, RemoteError):
            self._pool.fail()
            raise NoBrowserId("no browser ID to be had") from None
        except BaseException:
            self._pool.fail()
            raise
        self._pool.bring_for_sending()
        return browser_id


def _stock_of(issuer: IdIssuer) -> str:
    """Name the service and the client whose unused IDs are meant."""
    return f"{issuer.origin} {issuer.cookie_name}"
