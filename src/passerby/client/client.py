"""The client: checks events for their destinations, records them, and runs queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from logging import Logger
from typing import Any, get_args

from ..browser_ids.browser_ids import BrowserIds
from ..delivery import Delivery
from ..delivery.dry_run import DRY_RUN, dry_run_mode
from ..destinations import (
    Destination,
    PersonalizationRequest,
    PersonalizationSource,
    PointOfSaleSource,
    SharedCookie,
)
from ..errors import RemoteError, SettingsError, ValidationError
from ..events.builder import Defaults
from ..events.context import context_of, redacted
from ..events.event import NO_CONTEXT, Context, Event, EventKind
from ..events.options import checked_point_of_sale, checked_timeout
from ..http.proxies import TrustedProxies
from ..http.session import Session
from ..logs import get_logger
from ..outbox.contract import CommandKind, StoreCommand
from ..outbox.counts import DestinationCounts
from ..outbox.outbox import Outbox
from ..values.app_values import unwrap
from ..values.browser_id import IssuedId
from ..values.callbacks import discard_awaitable
from ..values.outcome import Dropped
from .dead_letters import DeadLetter, read_dead_letters
from .on_commit import Transactions
from .receipt import QueueReceipt, Receipt
from .stats import DestinationStats, Stats
from .store_wait import StoreWait
from .withheld_cookies import WithheldCookies

log: Logger = get_logger("passerby")

_IN_EDGE_FORM = "in Sitecore's edge form it is site_name"


class Client:
    """The client used by all trackers of an app.

    Args:
        destinations: the destinations.
        cookie: the browser ID's cookie.
        browser_ids: the source of browser IDs.
        outbox: the outbox.
        delivery: sends events to their destinations.
        store_wait: waits until events are stored.
        proxies: the proxies whose forwarded headers are trusted.
        defaults: the settings used to build events.
        common_data: default names and values of event data.

    Attributes:
        destination_names: the names of all destinations.
        destinations_for: the names of the destinations that accept each kind of event.
        transactions: defers events to the end of database transactions, if set.
        withheld_cookies: counts the responses without a cookie.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        *,
        cookie: SharedCookie,
        browser_ids: BrowserIds,
        outbox: Outbox,
        delivery: Delivery,
        store_wait: StoreWait,
        proxies: TrustedProxies,
        defaults: Defaults,
        common_data: Sequence[tuple[str, str]],
    ) -> None:
        self.cookie: SharedCookie = cookie
        self.keeps_guest_id: bool = cookie.keeps_guest
        self.browser_ids: BrowserIds = browser_ids
        self.delivery: Delivery = delivery
        self.store_wait: StoreWait = store_wait
        self.defaults: Defaults = defaults
        self.common_data: Sequence[tuple[str, str]] = common_data
        self.transactions: Transactions | None = None
        self.withheld_cookies: WithheldCookies = WithheldCookies()
        self._outbox = outbox
        self._proxies = proxies
        self._destinations = {one.name: one for one in destinations}
        self.destination_names: tuple[str, ...] = tuple(self._destinations)
        self.destinations_for: Mapping[EventKind, tuple[str, ...]] = {
            kind: tuple(one.name for one in destinations if kind in one.kinds) for kind in get_args(EventKind)
        }
        self._personalization = next((one for one in destinations if isinstance(one, PersonalizationSource)), None)
        sources = (one.point_of_sale for one in destinations if isinstance(one, PointOfSaleSource))
        self._point_of_sale = next((one for one in sources if one is not None), None)

    def record_with(self, transactions: Transactions | None) -> None:
        """Record events tracked in a database transaction when it is committed; None records them at once."""
        self.transactions = transactions

    def now(self) -> float:
        """The time in seconds since 1970."""
        return time.time()

    def assign(self, session: Session) -> None:
        """Assign an ID to a session if one is ready. Never waits."""
        issued = self.browser_ids.take()
        if issued is not None:
            session.assign(issued)

    def link(self, visitor: str, issued: IssuedId) -> str:
        """Assign an ID to the events recorded before it was known. Returns their ID, which may be an earlier one."""
        return self.browser_ids.link(visitor, issued)

    def context(self, session: Session) -> Context:
        """Return the context of a session's request."""
        request, defaults = session.request, self.defaults
        if request is None:
            return NO_CONTEXT
        context = context_of(request, request.proxies or self._proxies, defaults.ip, session.decision.bot)
        return context if defaults.redact_url is None else redacted(context, defaults.redact_url)

    def point_of_sale(self, session: Session) -> str | None:
        """Return the point of sale of a session's request."""
        chosen = self._point_of_sale
        if not callable(chosen):
            return chosen
        if session.request is None:
            return None
        try:
            answer = unwrap(chosen(session.request))
            if discard_awaitable(answer):
                log.error("the point_of_sale callable returned an awaitable, expected text or None; %s", _IN_EDGE_FORM)
                return None
            return None if answer == "" else checked_point_of_sale(answer)
        except ValidationError:
            log.error("the point_of_sale callable returned a wrong type, expected text or None; %s", _IN_EDGE_FORM)
            return None
        except Exception:
            log.exception(
                "the point_of_sale callable raised an exception; this request has no point of sale; %s", _IN_EDGE_FORM
            )
            return None

    def check(self, event: Event, destinations: Sequence[str]) -> None:
        """Raise ValidationError if a destination can never accept an event."""
        for name in destinations:
            self._destinations[name].check(event)

    def capture(
        self,
        session: Session,
        event: Event,
        destinations: Sequence[str],
        receipt: Receipt,
        held: bool,
        undo: Callable[[], None] | None = None,
    ) -> None:
        """Check an event for its destinations and record it. In a database transaction it is recorded on commit."""
        self.check(event, destinations)
        for watcher in dry_run_mode.observers:
            watcher.on_captured(event, destinations)
        if self.transactions is not None and self._defer(
            self.transactions, session, event, destinations, receipt, held, undo
        ):
            return
        self._record(event, destinations, receipt, held)
        self._wait_stored(session)

    def _defer(
        self,
        transactions: Transactions,
        session: Session,
        event: Event,
        destinations: Sequence[str],
        receipt: Receipt,
        held: bool,
        undo: Callable[[], None] | None,
    ) -> bool:
        """Record an event when the open database transaction is committed. Returns False if none is open."""
        return transactions.defer(
            lambda: self._record_after_commit(session, event, destinations, receipt, held),
            lambda: self._roll_back(event, destinations, receipt, undo),
        )

    def _wait_stored(self, session: Session) -> None:
        """Wait until an event is stored: before the response starts, or without a response, before the call returns."""
        if self.store_wait.is_needed and not session.add_unstored():
            self.store_wait.wait_at_once()

    def _record(self, event: Event, destinations: Sequence[str], receipt: Receipt, held: bool) -> None:
        if dry_run_mode.check_is_on():
            refused = [name for name in destinations if dry_run_mode.blocks(self._destinations[name].origin)]
            self._drop(refused, receipt, Dropped(DRY_RUN, in_dry_run=True))
            destinations = [name for name in destinations if name not in refused]
            if not destinations:
                return
        if self._outbox.is_durable:  # another process may deliver it
            receipt.watch_with(self._outbox.watch)
        self.delivery.record(event, destinations, receipt, held)

    def _record_after_commit(
        self, session: Session, event: Event, destinations: Sequence[str], receipt: Receipt, held: bool
    ) -> None:
        """Record an event after the commit. Its call has returned, so errors are only logged."""
        try:
            self._record(event, destinations, receipt, held)
            self._wait_stored(session)
        except ValidationError:
            self._drop(destinations, receipt, Dropped("full"))
        except Exception:
            log.exception("cannot record an event after its transaction; it is dropped")
            self._drop(destinations, receipt, Dropped("internal"))

    def _roll_back(
        self, event: Event, destinations: Sequence[str], receipt: Receipt, undo: Callable[[], None] | None
    ) -> None:
        self._drop(destinations, receipt, Dropped("rollback"))
        for watcher in dry_run_mode.observers:
            watcher.on_rolled_back(event)
        if undo is not None:
            undo()

    def _drop(self, destinations: Sequence[str], receipt: Receipt, outcome: Dropped) -> None:
        self._outbox.drop(destinations, outcome.reason)
        for name in destinations:
            receipt.on_settled(name, outcome)

    def drop(self, reason: str, destinations: Sequence[str], error: ValidationError | None = None) -> Receipt:
        """Count a dropped event. Raises the error if the setting `on_invalid` is "raise"."""
        if error is not None:
            if self.defaults.on_invalid == "raise":
                raise error
            log.warning("a tracking call was dropped: %s", error)
        self.count_dropped(reason, destinations)
        return Receipt.dropped(reason, destinations)

    def count_dropped(self, reason: str, destinations: Sequence[str] | None = None) -> None:
        """Count a dropped event, by default for all destinations."""
        for watcher in dry_run_mode.observers:
            watcher.on_dropped(reason)
        self._outbox.drop(self.destination_names if destinations is None else destinations, reason)

    def release_held(self, session: Session, visitor: str) -> QueueReceipt:
        """Release a visitor's held events."""
        return self._command(session, "release", visitor)

    def clear_held(self, session: Session, visitor: str) -> QueueReceipt:
        """Drop a visitor's held events."""
        return self._command(session, "clear", visitor)

    def _command(self, session: Session, kind: CommandKind, visitor: str) -> QueueReceipt:
        """Send a command about a visitor's held events, in a transaction on commit."""
        receipt = QueueReceipt()

        def act() -> None:
            receipt.follow(self._outbox.ask(StoreCommand(kind, visitor)))
            self._wait_stored(session)

        if self.transactions is None or not self.transactions.defer(act, lambda: receipt.resolve(0)):
            act()
        return receipt

    def ask_guest_id(self, browser_id: str | None, timeout: float | None) -> Future[str]:
        """Request the guest ID."""
        if browser_id is None:
            raise RemoteError("guest ID: this visitor has no browser ID yet")
        return self.delivery.run_query(
            self._checked_personalization().guest_query(browser_id), checked_timeout(timeout)
        )

    def check_personalization(self, request: PersonalizationRequest) -> None:
        """Raise ValidationError if required data of a personalisation is missing."""
        self._checked_personalization().personalize_query(request)

    def ask_personalization(
        self, request: PersonalizationRequest, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        """Request a personalisation."""
        question = self._checked_personalization().personalize_query(request)
        return self.delivery.run_query(question, checked_timeout(timeout))

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        return read_dead_letters(self._outbox)

    def stats(self) -> Stats:
        """Return the ledger: per destination, recorded = delivered + pending + dead + dropped."""
        counts = self._outbox.counts()
        names = [*self._destinations, *(name for name in counts if name not in self._destinations)]
        destinations = {
            name: DestinationStats.of(counts.get(name) or DestinationCounts(), self.delivery.retries(name))
            for name in names
        }
        state, unstored = self._outbox.state, self._outbox.unstored_entries
        if not self._outbox.is_durable:
            unstored = sum(each.pending for each in destinations.values())
        return Stats(
            destinations,
            self.browser_ids.counts(),
            self.store_wait.store_timeouts,
            unstored,
            outbox=state if state == "ok" else f"degraded: {state}",
            withheld_cookies=self.withheld_cookies.counts,
            unkept_visitors=self.withheld_cookies.unkept_visitors,
        )

    def _checked_personalization(self) -> PersonalizationSource:
        if self._personalization is None:
            raise SettingsError("only Sitecore answers this; add Sitecore(...) to the destinations")
        return self._personalization
